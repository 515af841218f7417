/** What the benchmarks time, for bench/peers to time beside other libraries. */
export { gemmWorkload } from "./gemm.ts";
export { type Machine, measureMachine } from "./machine.ts";
export { moeWorkload } from "./moe.ts";
export { trainBenchConfig, trainWorkload } from "./train.ts";
