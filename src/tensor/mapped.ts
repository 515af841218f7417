import { fail } from "../errors.ts";
import type { DType } from "../kernels/abi.ts";
import { type Block, byteLength, type Device } from "./device.ts";
import { type Shape, show, Tensor } from "./tensor.ts";

/**
 * A file as memory of a device, for weights that are used where they lie. It stays mapped until it and every tensor of it are
 * disposed of. Only where `device.kernels.mapping` is not null.
 */
export class MappedFile {
  readonly path: string;
  private readonly device: Device;
  private readonly block: Block;

  /** Maps the whole file. Errors: "file-missing", "file-damaged", "disk", "kernels". */
  constructor(device: Device, path: string) {
    this.device = device;
    this.path = path;
    this.block = device.map(path);
  }

  /**
   * The elements from byte `offset` on as a tensor; it is read-only. Errors: "file-damaged" where they do not lie within the
   * file, as when it became shorter since its header was read.
   */
  tensor(offset: number, shape: Shape, dtype: DType): Tensor {
    const end = offset + byteLength(shape, dtype);
    if (!(Number.isInteger(offset) && offset >= 0 && Number.isInteger(end) && end <= this.block.bytes))
      fail(
        "file-damaged",
        `${this.path}: ${dtype} ${show(shape)} should end at byte ${end}, the file has ${this.block.bytes}`,
        "fetch or write the file again",
      );
    this.block.references++;
    return new Tensor(this.device, this.block, offset, shape, dtype);
  }

  /** Lets go of the file; its tensors stay valid. */
  dispose(): void {
    this.device.release(this.block);
  }
}
