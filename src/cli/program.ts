/**
 * The command line: which commands there are and what they take. Bodies are loaded when a command runs.
 *
 * @module
 */

import { Command as Program, CommanderError } from "commander";
import { PACKAGE_VERSION } from "../python/index.js";
import { EXIT, type Command, type CommandIo } from "./io.js";
import { addPrepare } from "./prepare-flags.js";
import { integer, positiveInteger, positiveNumber, stepRange } from "./numbers.js";
import type { StepRange } from "./numbers.js";
import { printError } from "./print-error.js";

/** Runs one command line (without `node` and the script) and returns the exit code. Prints every error, throws none. */
export async function runCommandLine(argv: readonly string[], io: Omit<CommandIo, "verbose">): Promise<number> {
  const verbose = argv.includes("--verbose");
  const args = argv.filter((argument) => argument !== "--verbose");
  const outcome = { exitCode: EXIT.done as number };
  try {
    await buildProgram({ ...io, verbose }, outcome).parseAsync(args, { from: "user" });
    return outcome.exitCode;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.done : EXIT.usage;
    printError(error, { ...io, verbose });
    return EXIT.failed;
  }
}

/** Commands with an argument syntax of their own: everything behind the name is theirs, --help included. */
const PASSED_THROUGH: readonly { name: string; summary: string; load: () => Promise<Command> }[] = [
  {
    name: "train",
    summary: "train a model: YAML files and --flags; --dry-run, --probe, --resume",
    load: async () => (await import("./train.js")).trainCommand,
  },
  {
    name: "eval",
    summary: "evaluate a checkpoint on labelled pictures: correlations with intervals, counts, plots",
    load: async () => (await import("./eval.js")).evalCommand,
  },
  {
    name: "score",
    summary: "rate pictures with one or several checkpoints: table, JSON Lines, CSV, the reference's lines; --resume",
    load: async () => (await import("./score.js")).scoreCommand,
  },
  {
    name: "compare",
    summary: "the probability that one picture is better than another",
    load: async () => (await import("./compare.js")).compareCommand,
  },
  {
    name: "serve",
    summary: "rate pictures over HTTP: uploads, or paths under a folder; limits, Prometheus metrics, token",
    load: async () => (await import("./serve.js")).serveCommand,
  },
  {
    name: "sft",
    summary: "fine-tune a model on given answers: YAML files and --flags; --dry-run, --resume",
    load: async () => (await import("./sft.js")).sftCommand,
  },
  {
    name: "quickstart",
    summary: "train a small model on the bundled photographs, no download, no GPU",
    load: async () => (await import("./quickstart.js")).quickstartCommand,
  },
  {
    name: "export",
    summary: "write a run, a checkpoint or an adapter as a model folder; --merge",
    load: async () => (await import("./export.js")).exportCommand,
  },
  {
    name: "keys",
    summary: "make key files for workers of other machines",
    load: async () => (await import("./keys.js")).keysCommand,
  },
  {
    name: "worker",
    summary: "be a worker of a run on another machine: --connect, --key; under torchrun or by hand",
    load: async () => (await import("./worker.js")).workerCommand,
  },
  {
    name: "schema",
    summary: "print the configuration's JSON Schema, for editors",
    load: async () => (await import("./schema.js")).schemaCommand,
  },
];

function buildProgram(io: CommandIo, outcome: { exitCode: number }): Program {
  const program = new Program("thurstone")
    .description("Reinforcement learning to rank for vision-language models: scripted in TypeScript, run on PyTorch.")
    .version(PACKAGE_VERSION)
    .enablePositionalOptions()
    .exitOverride()
    .configureOutput({
      writeOut: (text) => io.stdout.write(text),
      writeErr: (text) => io.stderr.write(text),
      getOutHelpWidth: () => io.stdout.columns ?? 100,
    })
    .addHelpText(
      "after",
      "\nEvery command takes --verbose: tracebacks and causes of errors.\nExit codes: 0 done, 1 failed, 2 wrong usage.",
    );

  for (const { name, summary, load } of PASSED_THROUGH) {
    program
      .command(name)
      .description(summary)
      .argument("[arguments...]")
      .helpOption(false)
      .allowUnknownOption()
      .passThroughOptions()
      .action(async (args: string[]) => {
        outcome.exitCode = await (await load())(args, io);
      });
  }
  addSetup(program, io, outcome);
  addDoctor(program, io, outcome);
  addRuns(program, io);
  addVerify(program, io, outcome);
  addRewards(program, io);
  addDistort(program, io);
  addPrepare(program, io);
  return program;
}

function addSetup(program: Program, io: CommandIo, outcome: { exitCode: number }): void {
  program
    .command("setup")
    .description("make the Python environment that the workers run in")
    .option("--venv <folder>", "where to make it", ".venv")
    .action(async (options: { venv: string }) => {
      const { setupPython } = await import("./setup.js");
      outcome.exitCode = await setupPython(options, io);
    });
}

function addDoctor(program: Program, io: CommandIo, outcome: { exitCode: number }): void {
  program
    .command("doctor")
    .description("check Node, Python, packages, devices and write access, and say how to fix what is wrong")
    .option("--output_dir <folder>", "where runs will be written", "output")
    .option("--json", "machine-readable output", false)
    .action(async (options: { output_dir: string; json: boolean }) => {
      const { doctor } = await import("./doctor.js");
      outcome.exitCode = await doctor({ outputFolder: options.output_dir, json: options.json }, io);
    });
}

function addRuns(program: Program, io: CommandIo): void {
  const runs = program.command("runs").description("look into run folders");
  runs
    .command("list")
    .description("the runs in a folder: status, last step, reward")
    .argument("[folder]", "a folder of run folders, or a run folder", "output")
    .option("--json", "machine-readable output", false)
    .action(async (folder: string, options: { json: boolean }) => {
      const { listRuns } = await import("./runs.js");
      await listRuns({ folder, ...options }, io);
    });
  runs
    .command("metrics")
    .description("metrics by step")
    .argument("<run>", "the run folder")
    .argument("[names...]", "names of metrics; default: the ones of the live view")
    .option("--last <count>", "only the last steps", positiveInteger)
    .option("--json", "machine-readable output, all metrics unless named", false)
    .action(async (folder: string, names: string[], options: { last?: number; json: boolean }) => {
      const { showMetrics } = await import("./runs.js");
      await showMetrics({ folder, names, ...options }, io);
    });
  runs
    .command("rollouts")
    .description("completions of a step with their rewards, best first")
    .argument("<run>", "the run folder")
    .option("--step <step>", "the step; default: the last one recorded", positiveInteger)
    .option("--limit <count>", "how many completions", positiveInteger)
    .option("--json", "machine-readable output, in recorded order", false)
    .action(async (folder: string, options: { step?: number; limit?: number; json: boolean }) => {
      const { showRollouts } = await import("./runs.js");
      await showRollouts({ folder, ...options }, io);
    });
}

function addVerify(program: Program, io: CommandIo, outcome: { exitCode: number }): void {
  program
    .command("verify")
    .description(
      "execute steps of a run again and compare: rewards, advantages, metrics, weights; what differs is named",
    )
    .argument("<run>", "the run folder; nothing in it is changed")
    .argument("[keys...]", "--key value: configuration keys that say where things lie now")
    .option("--step <step>", "the step to verify", positiveInteger)
    .option("--steps <range>", "as 3..8; an open end is that of the run: ..8, 3.., ..", stepRange)
    .option("--resample", "draw the completions again, too: are they what the policy says?", false)
    .option(
      "--recorded_rewards <names>",
      "take these rewards from the record, as in judge,length: their code is not run",
      names,
      [],
    )
    .option("--tolerance <share>", "of numbers of the model on another machine; default: 0.001", positiveNumber)
    .option("--json", "machine-readable output", false)
    .allowUnknownOption()
    .addHelpText(
      "after",
      `
Give --step or --steps. Own rewards that the run's configuration names are run as code.
Keys: data_file_paths, image_folders, eval_data_file_paths, eval_image_folders, model_name_or_path, rewards, python_reward,
python_bin, device, worker_threads, worker_timeout, image_cache_bytes; max_steps and num_train_epochs for a run that was
continued; num_processes, strategy, deepspeed, ds3_gather_for_generation, worker_address, worker_key_file, worker_wait for
other processes than the run had (default: as many, on this machine). Exit codes: 0 everything that was compared agrees, 1 something differs or failed, 2 wrong usage.`,
    )
    .action(async (folder: string, keys: string[], flags: VerifyFlags, command: Program) => {
      const { step, steps: range, recorded_rewards: recordedRewards, ...rest } = flags;
      if ((step === undefined) === (range === undefined)) command.error("error: give either --step N or --steps A..B");
      const { verify } = await import("./verify.js");
      const steps = range ?? { from: step!, to: step! };
      outcome.exitCode = await verify({ folder, keys, steps, recordedRewards, ...rest }, io);
    });
}

interface VerifyFlags {
  readonly step?: number;
  readonly steps?: StepRange;
  readonly resample: boolean;
  readonly recorded_rewards: string[];
  readonly tolerance?: number;
  readonly json: boolean;
}

function names(text: string): string[] {
  return text.split(",").map((name) => name.trim());
}

function addRewards(program: Program, io: CommandIo): void {
  program
    .command("rewards")
    .description("try rewards out without a model")
    .command("replay")
    .description(
      "score the recorded completions of a run again: how rewards change, which advantages change their sign",
    )
    .argument("<run>", "the run folder")
    .argument("[keys...]", "--key value: configuration keys that shall be others than in the run")
    .option("--limit <count>", "advantages with another sign to show", positiveInteger, 20)
    .option("--json", "machine-readable output, with all of them", false)
    .allowUnknownOption()
    .addHelpText(
      "after",
      `
Keys: --rewards FILE ... and --python_reward FILE:FUNCTION ... take the place of the run's own rewards and are run as code;
--reward_funcs and --reward_weights say which rewards count, built-in ones too. All other keys of the section "Rewards" may
differ as well, and advantage_estimator, scale_rewards, pass_at_k, drop_zero_variance_groups, data_file_paths, image_folders,
dataset_name and python_bin. Without keys the run's own rewards are used, which gives the record bit for bit.`,
    )
    .action(async (folder: string, keys: string[], options: { limit: number; json: boolean }) => {
      const { replayRun } = await import("./replay.js");
      await replayRun({ folder, keys, ...options }, io);
    });
}

interface DistortFlags {
  readonly out?: string;
  readonly contactSheet?: string;
  readonly types?: string[];
  readonly levels?: number[];
  readonly seed: number;
  readonly raters?: number;
  readonly longestSide?: number;
  readonly overwrite: boolean;
  readonly json: boolean;
}

function addDistort(program: Program, io: CommandIo): void {
  program
    .command("distort")
    .description("degrade photographs in KADID-10k's 25 ways at 5 levels, with its mean scores, in its layout")
    .argument("<photos...>", "picture files, and folders of them")
    .option("--out <folder>", "where images/, dmos.csv, dataset.json and README.md go")
    .option("--contact-sheet <file>", "a PNG of the first photograph in all types and levels")
    .option("--types <numbers>", "KADID's numbers, as 1,9,25; default: all", typeNumbers)
    .option("--levels <numbers>", "as 1,3,5; default: all", integers)
    .option("--seed <number>", "names the draws of noise, directions and opinions", integer, 42)
    .option("--raters <count>", "simulate so many opinions per picture, at least 2", positiveInteger)
    .option("--longest-side <pixels>", "reduce photographs first; default: as they are", positiveInteger)
    .option("--overwrite", "replace a set in the folder", false)
    .option("--json", "machine-readable output", false)
    .action(async (photos: string[], flags: DistortFlags, command: Program) => {
      if (flags.out === undefined && flags.contactSheet === undefined) {
        command.error("error: give --out FOLDER, --contact-sheet FILE, or both");
      }
      for (const [name, given] of Object.entries({ raters: flags.raters !== undefined, overwrite: flags.overwrite })) {
        if (given && flags.out === undefined) {
          command.error(
            `error: --${name} concerns a set, and a contact sheet alone has none: give --out FOLDER as well`,
          );
        }
      }
      const { distortPhotos } = await import("./distort.js");
      await distortPhotos({ photos, ...flags }, io);
    });
}

function typeNumbers(text: string): string[] {
  return text.split(",").map((number) => number.trim().padStart(2, "0"));
}

function integers(text: string): number[] {
  return text.split(",").map(integer);
}
