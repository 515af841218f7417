import type { Device } from "./device.ts";
import { keep } from "./scope.ts";
import { type Tensor, tensor } from "./tensor.ts";

/** Kept for each device: shapes come and go. Enough for the prefixes of a window, one of each length: what goes ends the passes that were recorded with it. */
const mostKept = 1024;

interface Constant {
  readonly tensor: Tensor;
  /** Who used it; none: it was made outside any {@link owningConstants}, and stays the device's. */
  readonly owners: Set<ConstantOwner>;
  /** Takes it out of its device's list. */
  readonly forget: () => void;
}

const keptBy = new WeakMap<Device, Map<string, Constant>>();

/** Stands for a model in the lists of constants, so that those do not keep the model itself. */
export class ConstantOwner {
  private readonly used = new Set<Constant>();

  /** @internal */
  use(one: Constant): void {
    if (one.owners.has(this)) return;
    one.owners.add(this);
    this.used.add(one);
  }

  /** Gives back what no other owner used. */
  dispose(): void {
    for (const one of this.used) {
      one.owners.delete(this);
      if (one.owners.size > 0) continue;
      one.forget();
      one.tensor.dispose();
    }
    this.used.clear();
  }

  /** @internal It was freed as the one unused for longest. */
  lose(one: Constant): void {
    this.used.delete(one);
  }
}

let current: ConstantOwner | null = null;

/** Runs `body`, whose constants belong to `owner`, or to whoever runs it in turn. */
export function owningConstants<T>(owner: ConstantOwner, body: () => T): T {
  if (current) return body();
  current = owner;
  try {
    return body();
  } finally {
    current = null;
  }
}

/**
 * Numbers that every pass of a shape needs alike, i32 or f32 [n]: written once for a device, so that passes write nothing and can be recorded.
 * `name` says all that they depend on. The tensor is the device's, nobody else disposes of it; what only models used goes with the last of them.
 */
export function constant(
  device: Device,
  name: string,
  make: () => Int32Array<ArrayBuffer> | Float32Array<ArrayBuffer>,
): Tensor {
  const kept = keptBy.get(device) ?? new Map<string, Constant>();
  keptBy.set(device, kept);
  const known = kept.get(name);
  kept.delete(name);
  const one = known ?? {
    tensor: keep(tensor(device, make())),
    owners: new Set<ConstantOwner>(),
    forget: () => kept.delete(name),
  };
  kept.set(name, one); // the last in use is the last to go
  current?.use(one);
  if (kept.size > mostKept) {
    const [[oldest, gone]] = kept;
    kept.delete(oldest);
    for (const owner of gone.owners) owner.lose(gone);
    gone.tensor.dispose();
  }
  return one.tensor;
}
