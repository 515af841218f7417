/**
 * A peer is a process that times one thing at a time: it reads JSON lines from stdin and answers each with one on stdout.
 *
 *     {"do":"about"}                 -> {"name","version","threads"}
 *     {"do":"prepare","case":{...}}  -> {"note"}            builds the workload and runs it once; errors if it cannot
 *     {"do":"run"}                   -> {"ms"}              one more run
 *     {"do":"memory"}                -> {...}               what the workload holds, where the peer can tell
 *     {"do":"release"}               -> {}
 *
 * A request that fails is answered with {"error"}.
 */
import { createInterface } from "node:readline";

/** `prepare(case)` gives { run, dispose, note?, memory? }; run() may give the milliseconds that count, where not all of it does. */
export async function serve(about, prepare) {
  // Libraries log to stdout, which is ours.
  const answer = process.stdout.write.bind(process.stdout);
  process.stdout.write = process.stderr.write.bind(process.stderr);
  let workload = null;
  const verbs = {
    about: () => about,
    async prepare(request) {
      workload = await prepare(request.case);
      await workload.run();
      return { note: workload.note };
    },
    async run() {
      const began = performance.now();
      const own = await workload.run();
      return { ms: typeof own === "number" ? own : performance.now() - began };
    },
    memory: () => workload.memory?.() ?? {},
    async release() {
      await workload?.dispose();
      workload = null;
      return {};
    },
  };
  for await (const line of createInterface({ input: process.stdin })) {
    const request = JSON.parse(line);
    const reply = await Promise.resolve()
      .then(() => verbs[request.do](request))
      .catch((error) => ({
        error: String(error?.message ?? error),
      }));
    answer(`${JSON.stringify(reply)}\n`);
  }
}

/** Numbers drawn alike for every peer written in JavaScript: N(0, 1) by Box and Muller over a linear congruence. */
export function normals(count, scale = 1, seed = 1) {
  let state = seed >>> 0;
  const uniform = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return (state + 0.5) / 2 ** 32;
  };
  return Float32Array.from(
    { length: count },
    () => scale * Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform()),
  );
}
