import type { Storage } from "../abi.ts";
import type { Kernels } from "../kernels.ts";
import { adamw } from "./adamw.ts";
import { attentions } from "./attention.ts";
import { elementwise } from "./elementwise.ts";
import { linear } from "./linear.ts";
import { memory } from "./memory.ts";
import { norms } from "./norm.ts";
import { pagedAttentions } from "./paged-attention.ts";
import { picks } from "./pick.ts";
import { plans } from "./plan.ts";
import { products } from "./products.ts";
import { random } from "./random.ts";
import { reductions } from "./reduce.ts";
import { rope } from "./rope.ts";
import { routings } from "./routing.ts";
import { rowKernels } from "./rows.ts";
import type { HostStorage } from "./storage.ts";
import { storedForms } from "./stored-forms.ts";

/** Every kernel in plain TypeScript. It defines what is correct: computed in double, rounded on store, never
 *  optimised. Works anywhere; slow. */
export function createReferenceKernels(): Kernels {
  return {
    name: "reference",
    isa: "none",
    threads: 1,
    run: {
      ...memory,
      ...storedForms,
      ...elementwise,
      ...reductions,
      ...rowKernels,
      ...norms,
      rope,
      ...picks,
      ...plans,
      ...routings,
      random,
      ...products,
      linear,
      ...attentions,
      ...pagedAttentions,
      adamw,
    },
    alloc: (bytes): HostStorage => ({ byteLength: bytes, bytes: new ArrayBuffer(bytes) }),
    free() {},
    write(storage, offset, bytes) {
      new Uint8Array(bytesOf(storage), offset, bytes.length).set(bytes);
    },
    read: async (storage, offset, length) => new Uint8Array(bytesOf(storage), offset, length).slice(),
    record(body) {
      body();
      return null;
    },
    finish() {},
    mapping: null,
    dispose() {},
  };
}

function bytesOf(storage: Storage): ArrayBuffer {
  return (storage as HostStorage).bytes;
}
