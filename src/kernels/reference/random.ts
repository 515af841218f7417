import type { KernelTable } from "../abi.ts";
import { philox4x32 } from "../philox.ts";
import { i32, store } from "./storage.ts";

/** Random numbers by their places in a stream. */
export const random: KernelTable["random"] = ({
  kind,
  out,
  at,
  rows,
  n,
  seed,
  seedHigh,
  stream,
  low,
  high,
}) => {
  const [step, firstRow] = i32(at, 2);
  const block = new Uint32Array(4);
  const word = (i: number): number => {
    philox4x32(Math.floor(i / 4) >>> 0, step! >>> 0, stream, 0, seed, seedHigh, block);
    return block[i % 4]!;
  };
  const uniform = (i: number): number => (word(i) >>> 8) / 2 ** 24;
  const normal = (i: number): number => {
    const first = i - (i % 2);
    const radius = Math.sqrt(-2 * Math.log((word(first) + 1) / 2 ** 32));
    const angle = (2 * Math.PI * word(first + 1)) / 2 ** 32;
    return radius * (i % 2 === 0 ? Math.cos(angle) : Math.sin(angle));
  };
  store(
    out,
    Float64Array.from({ length: rows * n }, (_, j) => {
      const i = firstRow! * n + j;
      return kind === "uniform" ? low + (high - low) * uniform(i) : low + high * normal(i);
    }),
  );
};
