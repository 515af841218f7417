/** Lets timers, signals and input be handled: awaiting values that are ready does not. */
export function pause(): Promise<void> {
  return new Promise((resume) => setTimeout(resume, 0));
}
