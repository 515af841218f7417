import type { Device } from "./device.ts";
import { keep } from "./scope.ts";
import { type Tensor, tensor } from "./tensor.ts";

/** Kept for each device: shapes come and go. Enough for the prefixes of a window, one of each length: what goes ends the passes that were recorded with it. */
const mostKept = 1024;

const keptBy = new WeakMap<Device, Map<string, Tensor>>();

/**
 * Numbers that every pass of a shape needs alike, i32 or f32 [n]: written once for a device, so that passes write nothing and can be recorded.
 * `name` says all that they depend on. The tensor is the device's, nobody else disposes of it.
 */
export function constant(
  device: Device,
  name: string,
  make: () => Int32Array<ArrayBuffer> | Float32Array<ArrayBuffer>,
): Tensor {
  const kept = keptBy.get(device) ?? new Map<string, Tensor>();
  keptBy.set(device, kept);
  const known = kept.get(name);
  kept.delete(name);
  const made = known ?? keep(tensor(device, make()));
  kept.set(name, made); // the last in use is the last to go
  if (kept.size > mostKept) {
    const [[oldest, gone]] = kept;
    kept.delete(oldest);
    gone.dispose();
  }
  return made;
}
