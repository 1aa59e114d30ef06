/**
 * `thurstone eval`: a checkpoint against labelled pictures, with three estimators that are never mixed.
 *
 * @module
 */
import { Option } from "commander";
import type { Command as Program } from "commander";
import { join, resolve } from "node:path";
import { ConfigError } from "../errors.js";
import { canonicalJson, evaluate, ledger, reportOf, writeEvaluation, writeText } from "../trainer/index.js";
import type { EvaluateOptions, LedgerOptions } from "../trainer/index.js";
import { evaluationText, ledgerText } from "./eval-text.js";
import { EXIT } from "./io.js";
import type { Command, CommandIo } from "./io.js";
import { positiveInteger, positiveNumber, wholeNumber } from "./numbers.js";
import { dashes, ownProgram } from "./own-program.js";

/** As commander reads them: options of the functions, and what is done with their result. */
interface EvalFlags
  extends
    Omit<EvaluateOptions, "onProgress" | "connect" | "onStderr" | "signal" | "python">,
    Partial<Pick<LedgerOptions, "start" | "validation" | "temperatures">> {
  readonly ledger?: true;
  readonly out?: string;
  readonly json?: true;
}

export const evalCommand: Command = (args, io) => runEvalCommand(args, io, {});

/** The command on a worker of the caller's; without one it starts its own. */
export async function runEvalCommand(
  args: readonly string[],
  io: CommandIo,
  worker: Pick<EvaluateOptions, "connect">,
): Promise<number> {
  let exitCode: number = EXIT.done;
  await evalProgram(io, async (flags) => {
    exitCode = await runEvaluation(flags, io, worker);
  }).parseAsync(args.map(dashes), { from: "user" });
  return exitCode;
}

function evalProgram(io: CommandIo, action: (flags: EvalFlags) => Promise<void>): Program {
  return ownProgram("eval", io)
    .description("evaluate a checkpoint on labelled pictures: correlations, intervals, counts, plots")
    .requiredOption("--model <checkpoint>", "folder of a Hugging Face checkpoint, or a hub id")
    .requiredOption("--data <files...>", "JSONL files with labelled rows, or KADID-10k's dmos.csv")
    .option(
      "--image-folders <folders...>",
      "folders of the pictures; default: each file's own folder, and images in it for dmos.csv",
    )
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
    .option("--threads <count>", "CPU threads of the worker", positiveInteger)
    .option("--revision <revision>", "branch, tag or commit of a hub id")
    .option("--blank", "control: replace every picture by a grey one of the same size; SRCC must fall to about 0")
    .option("--ledger", "split the sampled gain of --model over --start into sharpening and reordering")
    .option("--start <checkpoint>", "--ledger: the checkpoint that training started from")
    .option("--validation <files...>", "--ledger: JSONL files on which the start's best temperature is chosen")
    .option("--temperatures <numbers...>", "--ledger: temperatures to choose from [0.1 0.2 ... 1]", collectNumbers)
    .option("--out <folder>", "write report.json, predictions.jsonl and plots/ into this folder")
    .option("--json", "print the report as one line of JSON")
    .addHelpText(
      "after",
      "\nExit codes: 0 done, 1 failed or a limit was crossed (after everything is written), 2 wrong usage.",
    )
    .action(action);
}

async function runEvaluation(
  { out, json, ...flags }: EvalFlags,
  io: CommandIo,
  worker: Pick<EvaluateOptions, "connect">,
): Promise<number> {
  const say = (line: string): void => void io.stderr.write(`${line}\n`);
  const watched = {
    ...worker,
    onStderr: (line: string) => say(`worker: ${line}`),
    onProgress: ({ done, total }: { readonly done: number; readonly total: number }) =>
      say(`${done} of ${total} pictures`),
  };
  const folder = out === undefined ? null : resolve(io.cwd, out);
  const print = (report: unknown, lines: readonly string[]): void => {
    if (folder !== null) say(`written: ${folder}`);
    io.stdout.write(json === true ? `${canonicalJson(report)}\n` : `${lines.join("\n")}\n`);
  };
  if (flags.ledger === true) {
    const split = await ledger({ ...ledgerOptions(flags), ...watched });
    if (folder !== null) await writeText(join(folder, "ledger.json"), `${canonicalJson(split, 2)}\n`);
    print(split, ledgerText(split));
    return split.failures.length > 0 ? EXIT.failed : EXIT.done;
  }
  for (const name of ["start", "validation", "temperatures"] as const) {
    if (flags[name] !== undefined) throw wrong(`--${name} belongs to --ledger, which is not given.`);
  }
  const evaluation = await evaluate({ ...flags, ...watched });
  if (folder !== null) await writeEvaluation(folder, evaluation);
  print(reportOf(evaluation), evaluationText(evaluation));
  return evaluation.failures.length > 0 ? EXIT.failed : EXIT.done;
}

function ledgerOptions({ ledger: _ledger, estimators, expectedAfter, ...flags }: EvalFlags): LedgerOptions {
  if (estimators !== undefined || expectedAfter !== undefined) {
    throw wrong("--ledger is about the estimator sampled alone: leave --estimators and --expected-after out.");
  }
  const { start, validation } = flags;
  if (start === undefined || validation === undefined) {
    throw wrong("--ledger needs --start (the checkpoint that training started from) and --validation (files).");
  }
  return { ...flags, start, validation };
}

function wrong(message: string): ConfigError {
  return new ConfigError("EVAL_OPTION", message);
}

function collectNumbers(text: string, before: readonly number[] = []): number[] {
  return [...before, positiveNumber(text)];
}
