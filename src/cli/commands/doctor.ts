import { Command } from "commander";
import { lazily } from "./lazily.ts";

export function doctorCommand(): Command {
  return new Command("doctor")
    .description("Say which kernels load on this machine, and why not the better ones.")
    .option("--json", "print as JSON")
    .addHelpText("after", "\nExample:\n  conclave doctor")
    .action(lazily(async () => (await import("../doctor.ts")).runDoctor));
}
