import type { Command, CommanderError } from "commander";
import { ConclaveError } from "../errors.ts";
import { commandLine } from "./output.ts";

/** What commander refuses, as an error of code "usage" with what helps against it; `command` is the one that was called. */
export function usageError(error: CommanderError, command: Command): ConclaveError {
  const [what = "", hint] = error.message.replace(/^error: /, "").split("\n");
  const suggestion = /^\(Did you mean (.+)\?\)$/.exec(hint?.trim() ?? "")?.[1];
  return new ConclaveError("usage", what, {
    remedy: suggestion === undefined ? remedyOf(error, command) : `did you mean ${suggestion}?`,
  });
}

function remedyOf({ code }: CommanderError, command: Command): string {
  const words: string[] = [];
  for (let at: Command | null = command; at?.parent; at = at.parent) words.unshift(at.name());
  const help = commandLine(...words, "--help");
  const takesText = command.registeredArguments.some((argument) => argument.name() === "prompt");
  switch (code) {
    case "commander.unknownCommand":
      return `${help} lists the commands`;
    case "commander.unknownOption":
      return `${help} lists the options`;
    case "commander.missingArgument":
      return `write ${commandLine(...words)} ${command.usage()}`;
    case "commander.excessArguments":
      return takesText ? "put the prompt in quotes" : `write ${commandLine(...words)} ${command.usage()}`;
    default:
      return `${help} shows how it is called`;
  }
}
