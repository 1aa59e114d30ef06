/**
 * `thurstone sft`: supervised fine-tuning from YAML files and flags; also its plan (--dry-run).
 *
 * @module
 */
import { flagHelp, loadSftConfig } from "../config/index.js";
import type { ResolvedSftConfig } from "../config/index.js";
import { ConfigError } from "../errors.js";
import { forecastSft, prepareSft, sft } from "../trainer/index.js";
import { followRun } from "./follow-run.js";
import { EXIT } from "./io.js";
import type { Command, CommandIo } from "./io.js";
import { resultText } from "./result-text.js";
import { sftPlanText } from "./sft-plan-text.js";
import { readTrainArguments } from "./train-arguments.js";
import type { TrainArguments } from "./train-arguments.js";

const USAGE = `Usage: thurstone sft [config.yaml ...] [--dry-run] [--resume | --requeue] [--json] [--key value ...]

Fine-tunes a model on the answers that the data give. YAML files are read from left to right, flags win over files.

  --config FILE   a YAML file; the same as giving it without --config
  --dry-run       print the resolved settings, the batches, the steps and the memory, and stop; fails when it does not fit
  --resume        go on from the newest checkpoint of output_dir
  --requeue       the same where there is a checkpoint, else start: for jobs that a scheduler starts again
  --json          end with one line of JSON

Ctrl-C once finishes the step, saves and ends; twice ends at once. SIGTERM saves and ends with 0 within termination_grace.

`;

export const sftCommand: Command = async (args, io) => {
  if (args.includes("--help") || args.includes("-h")) {
    io.stdout.write(`${USAGE}${flagHelp("sft")}\n`);
    return EXIT.done;
  }
  const given = readTrainArguments(args);
  if (given.probe) {
    throw new ConfigError(
      "CONFIG_FLAG",
      "--probe shows sampled completions and rewards, and sft has none: use --dry-run.",
    );
  }
  const { files, flags } = given;
  const config = await loadSftConfig(files, flags.values, { require: ["data_file_paths"], problems: flags.problems });
  if (given.dryRun) return dryRun(config, given, io);

  const result = await followRun((options) => sft(config, options), io, config.termination_grace);
  io.stdout.write(given.json ? `${JSON.stringify(result)}\n` : `${resultText(result).join("\n")}\n`);
  return EXIT.done;
};

async function dryRun(config: ResolvedSftConfig, { json }: TrainArguments, io: CommandIo): Promise<number> {
  const prepared = await prepareSft(config);
  const { plan } = prepared;
  const memory = await forecastSft(prepared);
  const options = { config, plan, memory };
  io.stdout.write(`${json ? JSON.stringify(options) : sftPlanText(options).join("\n")}\n`);
  return memory?.fits === false ? EXIT.failed : EXIT.done;
}
