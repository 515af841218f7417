import { ConclaveError } from "../errors.ts";
import { type Buf, bytesOf, type DType } from "../kernels/abi.ts";
import { type Block, type Device, emptyRange } from "./device.ts";
import { keep, scope } from "./scope.ts";
import { type Shape, Tensor } from "./tensor.ts";

/** What a {@link MadeTensor} is made of, and how. */
export interface Recipe {
  /** What errors call it. */
  readonly name: string;
  /** Such as what lies in a mapped file. They go with the tensor. */
  readonly sources: readonly Tensor[];
  /** Its contents, as many elements of its dtype as it has, anew each time. */
  make(sources: readonly Tensor[]): Tensor;
}

/**
 * A tensor whose contents are made when they are first needed, and again after they were let go of: a weight that its file holds in
 * another form. Nothing about it is read or takes memory until then.
 */
export class MadeTensor extends Tensor {
  /** Whether nobody keeps it: who has called what it was made for lets go of it. */
  passing = false;
  private readonly recipe: Recipe;
  private made: Tensor | null = null;
  /** What it is made of was asked for, and has not left since. */
  private asked = false;

  constructor(device: Device, shape: Shape, dtype: DType, recipe: Recipe) {
    super(device, nowhere, 0, shape, dtype);
    this.recipe = recipe;
  }

  get name(): string {
    return this.recipe.name;
  }

  /** Whether its contents are in memory. */
  get there(): boolean {
    return this.made !== null;
  }

  /** The bytes that it is made of. */
  get sourceBytes(): number {
    return this.recipe.sources.reduce((sum, { dtype, size }) => sum + bytesOf(dtype, size), 0);
  }

  override get buf(): Buf {
    return this.contents.buf;
  }

  override view(shape: Shape, start = 0): Tensor {
    return this.contents.view(shape, start);
  }

  /** Asks for what it is made of to be read soon, or lets that leave memory. */
  advise(when: "soon" | "done"): void {
    if (when === "soon" && this.asked) return;
    this.asked = when === "soon";
    const { mapping } = this.device.kernels;
    for (const { mapped, buf, size } of this.recipe.sources)
      if (mapped) mapping?.advise(buf.storage, buf.offset, bytesOf(buf.dtype, size), when);
  }

  /** Calls the kernels that make its contents. */
  make(): void {
    const { sources } = this.recipe;
    this.made ??= keep(scope(() => this.recipe.make(sources).view(this.shape)));
  }

  /** Gives the memory of its contents back. */
  letGo(): void {
    this.made?.dispose();
    this.made = null;
  }

  override dispose(): void {
    this.letGo();
    for (const source of this.recipe.sources) source.dispose();
    super.dispose();
  }

  private get contents(): Tensor {
    super.buf; // throws where it was disposed of
    if (this.made === null) makeTensors([this]);
    return this.made!;
  }
}

/** In the place of contents that are not there; never given back. */
const nowhere: Block = {
  storage: { byteLength: 0 },
  bytes: 0,
  references: Number.POSITIVE_INFINITY,
  mapped: false,
  maker: null,
  hostRange: emptyRange,
};

/** Makes those of `tensors` that are to be made and are not there, all or none; what they are made of may leave memory then. */
export function makeTensors(tensors: readonly Tensor[]): void {
  const missing = tensors.filter((one): one is MadeTensor => one instanceof MadeTensor && !one.there);
  if (missing.length === 0) return;
  const [{ device }] = missing;
  device.once();
  for (const one of missing) one.advise("soon");
  let name = missing[0].name;
  try {
    for (const one of missing) {
      ({ name } = one);
      one.make();
    }
    device.kernels.finish();
  } catch (error) {
    for (const one of missing) one.letGo();
    if (!(error instanceof ConclaveError)) throw error;
    const { code, message, remedy } = error;
    throw new ConclaveError(code, `making ${name}: ${message}`, { remedy, cause: error });
  }
  for (const one of missing) one.advise("done");
}
