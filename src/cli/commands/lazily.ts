/** An action that loads its code when it runs: `--help` and the other verbs do without it. */
export function lazily<Given extends unknown[]>(
  load: () => Promise<(...given: Given) => Promise<void>>,
): (...given: Given) => Promise<void> {
  return async (...given) => await (await load())(...given);
}
