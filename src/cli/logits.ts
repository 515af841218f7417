import type { Command } from "commander";
import { checkWritable, writeFileAtomic } from "../formats/files.ts";
import { encodeNpy } from "../formats/index.ts";
import { logits } from "../infer/index.ts";
import { context } from "../tensor/index.ts";
import { labelFor, openModel, precisionOf, remarkCausality, resolveModel } from "./model.ts";
import { Notes } from "./notes.ts";
import { idList, openDevice } from "./options.ts";
import { printJson, remark } from "./output.ts";

interface LogitsFlags {
  readonly ids: string;
  readonly out: string;
  readonly label?: string;
  readonly precision: string;
  readonly json?: boolean;
}

/** Does what `conclave logits` was asked. */
export async function runLogits(argument: string, flags: LogitsFlags, command: Command): Promise<void> {
  const ctx = context({ precision: precisionOf(flags.precision) });
  const ids = idList(flags.ids);
  await checkWritable(flags.out);
  const path = await resolveModel(argument);
  const { device } = await openDevice(command);
  const model = await openModel(path, device);
  remarkCausality(model, `each row of logits depends on all ${ids.length} tokens`);
  const notes = new Notes(model);
  notes.checkPositions(ids.length);
  const label = labelFor(model, flags.label);
  const labels = label === undefined ? undefined : ids.map(() => label);
  const data = await logits(model, ids, ctx, labels);
  const shape = [ids.length, data.length / ids.length];
  await writeFileAtomic(flags.out, encodeNpy({ shape, data }));
  if (flags.json) printJson({ file: flags.out, shape, notes: notes.lines });
  else remark(`wrote ${flags.out}: float32 [${shape.join(", ")}]`);
  device.dispose();
}
