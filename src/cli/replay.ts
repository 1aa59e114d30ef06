/**
 * `thurstone rewards replay`: recorded completions scored again, without a worker.
 *
 * @module
 */
import { resolve } from "node:path";
import { parseFlags } from "../config/index.js";
import { ConfigError } from "../errors.js";
import { REPLAY_KEYS, replayRewards } from "../trainer/index.js";
import type { CommandIo } from "./io.js";
import { replayText } from "./replay-text.js";

/** Arguments of the command. */
export interface ReplayOptions {
  /** The run folder. */
  readonly folder: string;
  /** Configuration keys as flags, unread. */
  readonly keys: readonly string[];
  /** Advantages with another sign to show. */
  readonly limit: number;
  readonly json: boolean;
}

/** Prints what became of rewards and advantages. Throws ConfigError CONFIG_FLAG for keys that mean nothing here. */
export async function replayRun({ folder, keys, limit, json }: ReplayOptions, io: CommandIo): Promise<void> {
  const config = parseFlags(keys);
  const known: readonly string[] = REPLAY_KEYS;
  const foreign = Object.keys(config).find((key) => !known.includes(key));
  if (foreign !== undefined) {
    throw new ConfigError(
      "CONFIG_FLAG",
      `--${foreign} cannot matter here: the completions are those of the run. What may differ is ${known.join(", ")}.`,
    );
  }
  const replay = await replayRewards(resolve(io.cwd, folder), { config });
  io.stdout.write(json ? `${JSON.stringify(replay)}\n` : `${replayText(replay, limit).join("\n")}\n`);
}
