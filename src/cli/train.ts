/**
 * `thurstone train`: a run from YAML files and flags; also its plan (--dry-run) and one step without an update (--probe).
 *
 * @module
 */
import { flagHelp, loadConfig, readConfigSources } from "../config/index.js";
import type { ResolvedConfig } from "../config/index.js";
import { forecastTraining, loadOwnRewards, namedRewards, prepareRun, probe, train } from "../trainer/index.js";
import { EXIT } from "./io.js";
import type { Command, CommandIo } from "./io.js";
import { planText } from "./plan-text.js";
import { probeText } from "./probe-text.js";
import { resultText } from "./result-text.js";
import { followRun } from "./follow-run.js";
import { readTrainArguments } from "./train-arguments.js";
import type { TrainArguments } from "./train-arguments.js";

const USAGE = `Usage: thurstone train [config.yaml ...] [--dry-run | --probe] [--resume | --requeue] [--json] [--key value ...]

Trains a model. YAML files are read from left to right, flags win over files.

  --config FILE   a YAML file; the same as giving it without --config
  --dry-run       print the resolved settings, the batches, the steps and the memory, and stop; fails when it does not fit
  --probe         run one step without an update and print its rewards, advantages and times
  --resume        go on from the newest checkpoint of output_dir
  --requeue       the same where there is a checkpoint, else start: for jobs that a scheduler starts again
  --json          end with one line of JSON

Ctrl-C once finishes the step, saves and ends; twice ends at once. SIGTERM saves and ends with 0 within termination_grace.

`;

export const trainCommand: Command = async (args, io) => {
  if (args.includes("--help") || args.includes("-h")) {
    io.stdout.write(`${USAGE}${flagHelp()}\n`);
    return EXIT.done;
  }
  const given = readTrainArguments(args);
  const config = await readConfig(given);
  if (given.dryRun) return dryRun(config, given, io);
  if (given.probe) return runProbe(config, given, io);

  const result = await followRun((options) => train(config, options), io, config.termination_grace);
  io.stdout.write(given.json ? `${JSON.stringify(result)}\n` : `${resultText(result).join("\n")}\n`);
  return EXIT.done;
};

async function readConfig({ files, flags }: TrainArguments): Promise<ResolvedConfig> {
  const { values } = await readConfigSources(files, flags.values);
  const own = await loadOwnRewards(values);
  return loadConfig(
    files,
    { ...flags.values, ...namedRewards(values, own) },
    {
      customRewards: own.names,
      require: ["data_file_paths"],
      problems: flags.problems,
    },
  );
}

async function dryRun(config: ResolvedConfig, { json }: TrainArguments, io: CommandIo): Promise<number> {
  const prepared = await prepareRun(config);
  const { plan } = prepared;
  const memory = await forecastTraining(prepared);
  const text = json ? JSON.stringify({ config, plan, memory }) : planText({ config, plan, memory }).join("\n");
  io.stdout.write(`${text}\n`);
  return memory?.fits === false ? EXIT.failed : EXIT.done;
}

async function runProbe(config: ResolvedConfig, { json }: TrainArguments, io: CommandIo): Promise<number> {
  const result = await probe(config, { onStderr: (line) => io.stderr.write(`worker: ${line}\n`) });
  io.stdout.write(json ? `${JSON.stringify(result)}\n` : `${probeText(result).join("\n")}\n`);
  return EXIT.done;
}
