/**
 * What a command may touch of its process, so that tests can run commands without one.
 *
 * @module
 */

/** A stream of text: a terminal, a pipe, or a test's array. */
export interface TextOutput {
  write(text: string): unknown;
  /** True for a terminal. */
  readonly isTTY?: boolean;
  /** Width of the terminal in characters. */
  readonly columns?: number;
}

/** Everything a command needs from outside. */
export interface CommandIo {
  /** Results. */
  readonly stdout: TextOutput;
  /** Progress, warnings, errors. */
  readonly stderr: TextOutput;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** The folder relative paths start from. */
  readonly cwd: string;
  /** Show tracebacks and causes of errors. */
  readonly verbose: boolean;
  /** Aborts when nobody reads the results any more. Default: never. */
  readonly closed?: AbortSignal;
}

/** A command's body: its own arguments in, exit code out. */
export type Command = (args: string[], io: CommandIo) => Promise<number>;

/** Exit codes of every command; the last two are what shells use for Ctrl-C and for a pipe that was closed. */
export const EXIT = { done: 0, failed: 1, usage: 2, interrupted: 130, closed: 141 } as const;

/** True when the output may be redrawn and coloured: a terminal, and neither NO_COLOR nor a dumb one. */
export function isInteractive(output: TextOutput, env: CommandIo["env"]): boolean {
  return output.isTTY === true && (env["NO_COLOR"] ?? "") === "" && env["TERM"] !== "dumb";
}
