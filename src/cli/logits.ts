import { Command } from "commander";
import { checkWritable, writeFileAtomic } from "../formats/files.ts";
import { encodeNpy } from "../formats/index.ts";
import { logits } from "../infer/index.ts";
import { context } from "../tensor/index.ts";
import { labelFor, modelArgument, openModel, precisionOf, remarkCausality, resolveModel } from "./model.ts";
import { idList, openDevice } from "./options.ts";
import { printJson, remark } from "./output.ts";

export function logitsCommand(): Command {
  return new Command("logits")
    .description("Write a model's logits of given tokens to a NumPy file: float32 [tokens, vocabulary].")
    .argument("<model>", modelArgument)
    .requiredOption("--ids <list>", "token ids: 1,2,3")
    .requiredOption("--out <file>", "the .npy file to write")
    .option("--label <name>", "what the tokens are, for a model that routes by label")
    .option("--precision <name>", "bf16 or f32 matrix products", "f32")
    .option("--json", 'print {"file", "shape"}')
    .addHelpText("after", "\nExample:\n  conclave logits runs/small-1 --ids 1,2,3 --out logits.npy")
    .action(
      async (
        argument: string,
        flags: { ids: string; out: string; label?: string; precision: string; json?: boolean },
        command: Command,
      ) => {
        const ctx = context({ precision: precisionOf(flags.precision) });
        const ids = idList(flags.ids);
        await checkWritable(flags.out);
        const path = await resolveModel(argument);
        const { device } = await openDevice(command);
        const model = await openModel(path, device);
        remarkCausality(model, `each row of logits depends on all ${ids.length} tokens`);
        const label = labelFor(model, flags.label);
        const labels = label === undefined ? undefined : ids.map(() => label);
        const data = await logits(model, ids, ctx, labels);
        const shape = [ids.length, data.length / ids.length];
        await writeFileAtomic(flags.out, encodeNpy({ shape, data }));
        if (flags.json) printJson({ file: flags.out, shape });
        else remark(`wrote ${flags.out}: float32 [${shape.join(", ")}]`);
        device.dispose();
      },
    );
}
