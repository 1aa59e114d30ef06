/**
 * `thurstone verify`: steps of a run executed again and compared with what the run recorded.
 *
 * @module
 */
import { resolve } from "node:path";
import { parseFlags } from "../config/index.js";
import { ConfigError } from "../errors.js";
import { VERIFY_KEYS, verifyRun } from "../trainer/index.js";
import type { VerifyOptions } from "../trainer/index.js";
import { EXIT, isInteractive } from "./io.js";
import type { CommandIo } from "./io.js";
import { untilInterrupted } from "./scoring/interrupt.js";
import { verifyText } from "./verify-text.js";

/** Arguments of the command. */
export interface VerifyArguments {
  /** The run folder. */
  readonly folder: string;
  /** Configuration keys as flags, unread. */
  readonly keys: readonly string[];
  /** First and last step; an open end is that of the run. */
  readonly steps: { readonly from?: number; readonly to?: number };
  readonly resample: boolean;
  readonly recordedRewards: readonly string[];
  readonly tolerance?: number;
  readonly json: boolean;
}

/**
 * @param surroundings what a test brings along
 * @returns `EXIT.done` when everything that was compared agrees. Throws ConfigError CONFIG_FLAG for keys that mean nothing here.
 */
export async function verify(
  asked: VerifyArguments,
  io: CommandIo,
  surroundings: Pick<VerifyOptions, "connect"> = {},
): Promise<number> {
  const { folder, keys, steps, json, tolerance, ...options } = asked;
  const config = parseFlags(keys);
  const known: readonly string[] = VERIFY_KEYS;
  const foreign = Object.keys(config).find((key) => !known.includes(key));
  if (foreign !== undefined) {
    throw new ConfigError(
      "CONFIG_FLAG",
      `--${foreign} cannot be given here: the run is verified as it was configured. What may be given is where things lie now, and on what the worker runs: ${known.join(", ")}.`,
    );
  }
  const watched = isInteractive(io.stderr, io.env);
  const verification = await untilInterrupted((signal) =>
    verifyRun(resolve(io.cwd, folder), {
      ...options,
      ...steps,
      ...surroundings,
      config,
      signal,
      ...(tolerance !== undefined && { tolerance }),
      onStderr: (line) => void io.stderr.write(`worker: ${line}\n`),
      onStep: (step) => void (watched && io.stderr.write(`step ${step} executed\n`)),
    }),
  );
  io.stdout.write(json ? `${JSON.stringify(verification)}\n` : `${verifyText(verification).join("\n")}\n`);
  return verification.agrees ? EXIT.done : EXIT.failed;
}
