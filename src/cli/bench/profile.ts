/** Where a step's time goes: every kernel call timed, added up by what it serves. */
import type { KernelName, Kernels } from "../../kernels/index.ts";

/** What kernels serve; those not listed are "other". */
const partOf: Readonly<Partial<Record<KernelName, string>>> = {
  gemm: "products",
  groupedGemm: "products",
  groupedGemmOuter: "products",
  groupedSwiglu: "products",
  groupedSwigluGrad: "products",
  linear: "products",
  swiglu: "activation",
  swigluGrad: "activation",
  attention: "attention",
  attentionGrad: "attention",
  pagedAttention: "attention",
  appendPages: "attention",
  rope: "rotary",
  rmsNorm: "norms",
  rmsNormGrad: "norms",
  crossEntropy: "cross-entropy",
  crossEntropyGrad: "cross-entropy",
  adamw: "optimizer",
  sumSquares: "optimizer",
  planRows: "routing",
  countIds: "routing",
  selectExperts: "routing",
  keepGroups: "routing",
  assignCapacity: "routing",
  invertChoice: "routing",
  random: "routing",
  gatherRows: "rows",
  scatterAddRows: "rows",
  combineRows: "rows",
  combineRowsGrad: "rows",
  binary: "elementwise",
  unary: "elementwise",
  unaryGrad: "elementwise",
  fill: "memory",
  cast: "memory",
  stridedCopy: "memory",
};

/** One kernel, or all kernels of a part. */
export interface Share {
  readonly name: string;
  readonly calls: number;
  readonly ms: number;
  /** Of the wall time of what was profiled. */
  readonly share: number;
}

export interface Profile {
  readonly ms: number;
  /** By falling time. "host" is all that no kernel took: JavaScript. */
  readonly parts: readonly Share[];
  readonly kernels: readonly Share[];
}

interface Sum {
  calls: number;
  ms: number;
}

/** Kernels that do what `kernels` do, and a clock on each call. */
export class ProfiledKernels {
  readonly kernels: Kernels;
  private readonly sums = new Map<string, Sum>();

  constructor(kernels: Kernels) {
    this.kernels = { ...kernels, run: this.timed(kernels.run) };
  }

  /** Runs `body` and says where its time went. */
  async profile(body: () => unknown): Promise<Profile> {
    this.sums.clear();
    const began = performance.now();
    await body();
    const ms = performance.now() - began;
    const kernels = [...this.sums];
    const inKernels = kernels.reduce((sum, [, one]) => sum + one.ms, 0);
    const parts = new Map<string, Sum>([["host", { calls: 0, ms: ms - inKernels }]]);
    for (const [name, one] of kernels) {
      const part = partOf[name as KernelName] ?? "other";
      const sum = parts.get(part) ?? { calls: 0, ms: 0 };
      parts.set(part, { calls: sum.calls + one.calls, ms: sum.ms + one.ms });
    }
    return { ms, parts: shares([...parts], ms), kernels: shares(kernels, ms) };
  }

  private timed<T extends object>(table: T): T {
    const entries = Object.entries(table).map(([name, call]: [string, (args: unknown) => void]) => {
      const timed = (args: unknown): void => {
        const began = performance.now();
        call(args);
        this.kernels.finish(); // a kernel may run after its call returns
        this.add(name, performance.now() - began);
      };
      return [name, timed];
    });
    return Object.fromEntries(entries) as T;
  }

  private add(name: string, ms: number): void {
    const sum = this.sums.get(name) ?? { calls: 0, ms: 0 };
    sum.calls++;
    sum.ms += ms;
    this.sums.set(name, sum);
  }
}

function shares(sums: readonly (readonly [string, Sum])[], ms: number): Share[] {
  return sums
    .map(([name, sum]) => ({ name, calls: sum.calls, ms: sum.ms, share: sum.ms / ms }))
    .sort((a, b) => b.ms - a.ms);
}
