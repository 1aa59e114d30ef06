/**
 * Programs of commands that parse their own arguments.
 *
 * @module
 */
import { Command as Program } from "commander";
import type { CommandIo } from "./io.js";

/** A program that writes to the command's outputs and throws where commander would end the process. */
export function ownProgram(name: string, io: CommandIo): Program {
  return new Program(`thurstone ${name}`).exitOverride().configureOutput({
    writeOut: (text) => io.stdout.write(text),
    writeErr: (text) => io.stderr.write(text),
    getOutHelpWidth: () => io.stdout.columns ?? 100,
  });
}

/** Configuration keys are written with underscores elsewhere; both spellings are one option. */
export function dashes(argument: string): string {
  if (!argument.startsWith("--")) return argument;
  const [name, ...value] = argument.split("=");
  return [name!.replaceAll("_", "-"), ...value].join("=");
}
