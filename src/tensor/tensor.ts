import { fail } from "../errors.ts";
import { type Buf, blockOf, bytesOf, type DType } from "../kernels/abi.ts";
import { type Block, byteLength, type Device, emptyRange, type IdRange, sizeOf } from "./device.ts";
import { adopt } from "./scope.ts";

export type Shape = readonly number[];
export type HostArray =
  | Float32Array<ArrayBuffer>
  | Int32Array<ArrayBuffer>
  | Uint16Array<ArrayBuffer>
  | Uint8Array<ArrayBuffer>;

/**
 * An n-dimensional array on a device: contiguous, row-major. Values are read with `await t.data()`; no operation
 * needs that. Made inside a {@link scope}, it is freed at the scope's end unless returned from it.
 */
export class Tensor {
  readonly device: Device;
  readonly shape: Shape;
  readonly dtype: DType;
  /** True when gradients flow to it: a parameter, or computed from one while a tape was on. */
  tracked = false;
  private readonly block: Block;
  private readonly place: Buf;
  private disposed = false;

  /** Takes over one reference to `block`. Use {@link tensor}, {@link empty} or an operation. */
  constructor(device: Device, block: Block, offset: number, shape: Shape, dtype: DType) {
    this.device = device;
    this.block = block;
    this.place = { storage: block.storage, offset, dtype };
    this.shape = shape;
    this.dtype = dtype;
    adopt(this);
  }

  get size(): number {
    return sizeOf(this.shape);
  }

  get rank(): number {
    return this.shape.length;
  }

  /** True where it lies in a mapped file. */
  get mapped(): boolean {
    return this.block.mapped;
  }

  /** The place of the elements, for kernels. */
  get buf(): Buf {
    if (this.disposed)
      fail(
        "state",
        `a tensor of shape ${show(this.shape)} was used after it was freed`,
        "return it from the scope that made it",
      );
    return this.place;
  }

  /** The range of the integers that the host wrote into this i32 tensor and those it shares memory with, checked before they serve
   *  as ids; empty (low above high) where kernels made them, which keep their ids in range. */
  get hostRange(): IdRange {
    return this.block.hostRange;
  }

  /** @internal Told of integers that came from the host. */
  widenHostRange({ low, high }: IdRange): void {
    const { hostRange } = this.block;
    this.block.hostRange = { low: Math.min(low, hostRange.low), high: Math.max(high, hostRange.high) };
  }

  /** A tensor of `shape` that shares memory with this one, `start` elements in. Not on the tape: see `reshape` and `slice` for that. */
  view(shape: Shape, start = 0): Tensor {
    const { buf: place } = this;
    const { elements } = blockOf(this.dtype);
    if (start % elements !== 0 || sizeOf(shape) % elements !== 0)
      fail("shape", `view: ${show(shape)} from element ${start} is no whole number of ${this.dtype} blocks`);
    if (start < 0 || start + sizeOf(shape) > this.size) {
      fail("shape", `view: ${show(shape)} from element ${start} does not fit into ${show(this.shape)}`);
    }
    this.block.references++;
    return new Tensor(this.device, this.block, place.offset + bytesOf(this.dtype, start), shape, this.dtype);
  }

  /** Copies the values to the host: Float32Array for f32, Int32Array for i32, Uint16Array of raw bits for bf16 and f16, Uint8Array of the
   *  bytes of blocks. */
  async data(): Promise<HostArray> {
    const { storage, offset } = this.buf;
    const bytes = await this.device.kernels.read(storage, offset, byteLength(this.shape, this.dtype));
    const Type = hostArrayOf(this.dtype);
    return new Type(bytes.buffer, bytes.byteOffset, bytes.byteLength / Type.BYTES_PER_ELEMENT);
  }

  /** The value of a one-element tensor. */
  async item(): Promise<number> {
    if (this.size !== 1) fail("shape", `item: the tensor has shape ${show(this.shape)}, not one element`);
    return (await this.data())[0];
  }

  /** Overwrites the values in place from host memory, in the form that {@link data} gives. Not on the tape. */
  write(values: HostArray): void {
    if (!(values instanceof hostArrayOf(this.dtype)))
      fail("dtype", `write: ${values.constructor.name} for a tensor of ${this.dtype}`);
    if (values.byteLength !== byteLength(this.shape, this.dtype))
      fail("shape", `write: ${values.length} values for shape ${show(this.shape)}`);
    const { storage, offset } = this.buf;
    if (values instanceof Int32Array) {
      if (this.block.references === 1) this.block.hostRange = emptyRange; // nobody else sees the old values
      this.widenHostRange(rangeOf(values));
    }
    this.device.kernels.write(
      storage,
      offset,
      new Uint8Array(values.buffer, values.byteOffset, values.byteLength),
    );
  }

  /** Gives the memory back. Views of it stay valid. */
  dispose(): void {
    if (this.disposed) return;
    this.disposed = true;
    this.device.release(this.block);
  }
}

/** What holds the elements of `dtype` on the host. */
function hostArrayOf(
  dtype: DType,
): Float32ArrayConstructor | Int32ArrayConstructor | Uint16ArrayConstructor | Uint8ArrayConstructor {
  switch (dtype) {
    case "f32":
      return Float32Array;
    case "i32":
      return Int32Array;
    case "bf16":
    case "f16":
      return Uint16Array;
    default:
      return Uint8Array;
  }
}

function rangeOf(values: Int32Array): IdRange {
  let { low, high } = emptyRange;
  for (const value of values) {
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return { low, high };
}

/** A tensor with undefined contents. */
export function empty(device: Device, shape: Shape, dtype: DType = "f32"): Tensor {
  for (const n of shape) {
    if (!Number.isSafeInteger(n) || n < 0)
      fail("shape", `a tensor of shape ${show(shape)}: sizes are whole numbers of 0 or more`);
  }
  const { elements } = blockOf(dtype);
  if (sizeOf(shape) > 0 && (shape.at(-1) ?? 1) % elements !== 0)
    fail(
      "shape",
      `a tensor of ${dtype} ${show(shape)}: its last axis is no whole number of blocks of ${elements}`,
    );
  return new Tensor(device, device.allocate(byteLength(shape, dtype)), 0, shape, dtype);
}

/** A tensor of f32 from numbers or a Float32Array, of i32 from an Int32Array. */
export function tensor(device: Device, values: ArrayLike<number>, shape: Shape = [values.length]): Tensor {
  const host =
    values instanceof Int32Array || values instanceof Float32Array
      ? (values as HostArray)
      : Float32Array.from(values);
  if (host.length !== sizeOf(shape)) fail("shape", `tensor: ${host.length} values for shape ${show(shape)}`);
  const made = empty(device, shape, host instanceof Int32Array ? "i32" : "f32");
  made.write(host);
  return made;
}

/** A tensor with `value` everywhere. */
export function full(device: Device, shape: Shape, value: number, dtype: DType = "f32"): Tensor {
  const made = empty(device, shape, dtype);
  device.kernels.run.fill({ out: made.buf, n: made.size, value });
  if (dtype === "i32") made.widenHostRange({ low: Math.trunc(value), high: Math.trunc(value) });
  return made;
}

/** "[2, 3]", for messages. */
export function show(shape: Shape): string {
  return `[${shape.join(", ")}]`;
}
