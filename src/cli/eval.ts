/**
 * `thurstone eval`: a checkpoint against labelled pictures, with three estimators that are never mixed.
 *
 * @module
 */
import { Command as Program, InvalidArgumentError, Option } from "commander";
import { resolve } from "node:path";
import { evaluate, reportOf, writeEvaluation } from "../trainer/index.js";
import type { EstimatorName, EvaluateOptions, OnMissing } from "../trainer/index.js";
import { canonicalJson } from "../trainer/index.js";
import { evaluationText } from "./eval-text.js";
import { EXIT } from "./io.js";
import type { Command, CommandIo } from "./io.js";

/** As commander reads them. */
interface EvalFlags {
  readonly model: string;
  readonly data: string[];
  readonly imageFolders?: string[];
  readonly datasetName?: string;
  readonly estimators?: EstimatorName[];
  readonly samples?: number;
  readonly temperature?: number;
  readonly expectedAfter?: "thinking" | "prefix";
  readonly seed?: number;
  readonly batch?: number;
  readonly bootstrap?: number;
  readonly onMissing?: OnMissing;
  readonly questionTemplate?: string;
  readonly maxCompletionLength?: number;
  readonly minPixels?: number;
  readonly maxPixels?: number;
  readonly device?: string;
  readonly dtype?: "auto" | "float32" | "bfloat16";
  readonly workerThreads?: number;
  readonly revision?: string;
  readonly blank?: true;
  readonly out?: string;
  readonly json?: true;
}

export const evalCommand: Command = async (args, io) => {
  let exitCode: number = EXIT.done;
  await evalProgram(io, async (flags) => {
    exitCode = await runEvaluation(flags, io);
  }).parseAsync(args.map(dashes), { from: "user" });
  return exitCode;
};

/** Configuration keys are written with underscores elsewhere; both spellings are one option. */
function dashes(argument: string): string {
  if (!argument.startsWith("--")) return argument;
  const [name, ...value] = argument.split("=");
  return [name!.replaceAll("_", "-"), ...value].join("=");
}

function evalProgram(io: CommandIo, action: (flags: EvalFlags) => Promise<void>): Program {
  return new Program("thurstone eval")
    .description("evaluate a checkpoint on labelled pictures: correlations, intervals, counts, plots")
    .exitOverride()
    .configureOutput({
      writeOut: (text) => io.stdout.write(text),
      writeErr: (text) => io.stderr.write(text),
      getOutHelpWidth: () => io.stdout.columns ?? 100,
    })
    .requiredOption("--model <checkpoint>", "folder of a Hugging Face checkpoint, or a hub id")
    .requiredOption("--data <files...>", "JSONL files with labelled rows")
    .option("--image-folders <folders...>", "folders of the pictures; default: each file's own folder")
    .option("--dataset-name <name>", "name of the data set, for rows that carry none")
    .addOption(
      new Option("--estimators <names...>", "sampled, greedy, expected; default: all three").choices([
        "sampled",
        "greedy",
        "expected",
      ]),
    )
    .option("--samples <count>", "answers per picture of the estimator sampled [6]", positiveInteger)
    .option("--temperature <number>", "temperature of the estimator sampled [1]", positiveNumber)
    .addOption(
      new Option(
        "--expected-after <place>",
        "where the estimator expected reads: behind the model's own greedy thinking, or a forced answer tag",
      ).choices(["thinking", "prefix"]),
    )
    .option("--seed <number>", "names every draw [42]", wholeNumber)
    .option("--batch <rows>", "rows that go to the model together [64]", positiveInteger)
    .option("--bootstrap <resamples>", "resamples of the 95 % intervals [1000]", positiveInteger)
    .addOption(
      new Option(
        "--on-missing <what>",
        "pictures without a score: fail over 1 %, exclude them, or count them as the worst [fail]",
      ).choices(["fail", "exclude", "worst"]),
    )
    .option("--question-template <template>", "as the configuration key [scoring]")
    .option("--max-completion-length <tokens>", "tokens of an answer at most [256]", positiveInteger)
    .option("--min-pixels <pixels>", "a picture's area at least", positiveInteger)
    .option("--max-pixels <pixels>", "a picture's area at most", positiveInteger)
    .option("--device <device>", "auto, cpu, cuda, cuda:<number> or mps [auto]")
    .addOption(new Option("--dtype <dtype>", "precision [auto]").choices(["auto", "float32", "bfloat16"]))
    .option("--worker-threads <count>", "CPU threads of the worker", positiveInteger)
    .option("--revision <revision>", "branch, tag or commit of a hub id")
    .option("--blank", "control: replace every picture by a grey one of the same size; SRCC must fall to about 0")
    .option("--out <folder>", "write report.json, predictions.jsonl and plots/ into this folder")
    .option("--json", "print the report as one line of JSON")
    .addHelpText(
      "after",
      "\nExit codes: 0 done, 1 failed or a limit was crossed (after everything is written), 2 wrong usage.",
    )
    .action(action);
}

async function runEvaluation(flags: EvalFlags, io: CommandIo): Promise<number> {
  const { out, json, workerThreads, ...rest } = flags;
  const say = (line: string): void => void io.stderr.write(`${line}\n`);
  const options: EvaluateOptions = {
    ...rest,
    ...(workerThreads !== undefined && { threads: workerThreads }),
    onStderr: (line) => say(`worker: ${line}`),
    onProgress: ({ done, total }) => say(`${done} of ${total} pictures`),
  };
  const evaluation = await evaluate(options);
  const lines = evaluationText(evaluation);
  if (out !== undefined) {
    const folder = resolve(io.cwd, out);
    await writeEvaluation(folder, evaluation);
    say(`written: ${folder}`);
  }
  io.stdout.write(json === true ? `${canonicalJson(reportOf(evaluation))}\n` : `${lines.join("\n")}\n`);
  return evaluation.failures.length > 0 ? EXIT.failed : EXIT.done;
}

function positiveInteger(text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 1)
    throw new InvalidArgumentError("a whole number of at least 1 is expected.");
  return value;
}

function wholeNumber(text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 0)
    throw new InvalidArgumentError("a whole number of at least 0 is expected.");
  return value;
}

function positiveNumber(text: string): number {
  const value = Number(text);
  if (!(Number.isFinite(value) && value > 0)) throw new InvalidArgumentError("a number above 0 is expected.");
  return value;
}
