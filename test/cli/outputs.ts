/**
 * Outputs the tests of the command line write into.
 *
 * @module
 */

import type { CommandIo, TextOutput } from "../../src/cli/io.js";

/** An output that keeps what was written. */
export interface KeptOutput extends TextOutput {
  text(): string;
}

export function keptOutput(terminal: { columns?: number } = {}): KeptOutput {
  const written: string[] = [];
  const isTTY = terminal.columns !== undefined;
  return { write: (text) => void written.push(text), text: () => written.join(""), isTTY, ...terminal };
}

/** Outputs, environment and folder of a command that runs inside the test. */
export function commandIo(
  cwd: string,
  env: CommandIo["env"] = {},
): CommandIo & { stdout: KeptOutput; stderr: KeptOutput } {
  return { stdout: keptOutput(), stderr: keptOutput(), env, cwd, verbose: false };
}
