/**
 * `thurstone score`: pictures rated by one or several checkpoints.
 *
 * @module
 */
import { resolve } from "node:path";
import { writeRatingSheet } from "../data/index.js";
import { digestModel, listModels } from "../trainer/index.js";
import { EXIT } from "./io.js";
import type { Command, CommandIo } from "./io.js";
import { positiveInteger } from "./numbers.js";
import { dashes, ownProgram } from "./own-program.js";
import { FORMATS, referenceLine } from "./scoring/formats.js";
import type { ScoreFormat, ScoreRecord } from "./scoring/formats.js";
import { findInputs } from "./scoring/inputs.js";
import type { ScoreInput } from "./scoring/inputs.js";
import { addMetricFlags, metricFlagProblem, metricFlagsOf, metricOptions, MODEL_HELP } from "./scoring/metric-flags.js";
import type { MetricFlags } from "./scoring/metric-flags.js";
import { modelsText } from "./scoring/models-text.js";
import { ratePictures } from "./scoring/rate.js";
import type { AskedModel, ScoreSurroundings } from "./scoring/rate.js";
import { untilInterrupted } from "./scoring/interrupt.js";
import { formatOf, openScoreFile } from "./scoring/score-file.js";
import type { ScoreFile } from "./scoring/score-file.js";
import { failureLines, inOrder, scoreTable, summaryTable } from "./scoring/score-text.js";
import type { PictureScores } from "./scoring/score-text.js";

interface ScoreFlags extends MetricFlags {
  readonly model: string[];
  readonly listModels?: true;
  readonly batch: number;
  readonly out?: string;
  readonly resume?: true;
  readonly overwrite?: true;
  readonly sort?: true;
  readonly top?: number;
  readonly sheet?: string;
  readonly referenceFormat?: true;
  readonly json?: true;
}

export const scoreCommand: Command = (args, io) =>
  untilInterrupted((signal) => runScoreCommand(args, io, { signal }), io.closed);

/** The command in a test's surroundings. */
export async function runScoreCommand(
  args: readonly string[],
  io: CommandIo,
  surroundings: ScoreSurroundings,
): Promise<number> {
  let exitCode: number = EXIT.done;
  const program = addMetricFlags(
    ownProgram("score", io)
      .description("rate pictures: 1 to 5, higher is better; one that cannot be rated is a record with the reason")
      .argument("[pictures...]", "files, folders, and patterns in quotes (*, ?, [abc], {a,b}, **)")
      .option("--model <checkpoint>", `${MODEL_HELP}; may be given again`, collect, [])
      .option("--list-models", "print the models that come with the package, with --json as JSON")
      .option("--batch <pictures>", "pictures that go to the model together", positiveInteger, 8)
      .option("--out <file>", "write .jsonl, .csv or .txt (the reference's lines) as ratings come")
      .option("--resume", "--out: leave out what stands there; refused where other models or settings began it")
      .option("--overwrite", "--out: replace the file")
      .option("--sort", "print the best first, by the first model")
      .option("--top <count>", "print the best ones only", positiveInteger)
      .option("--sheet <file>", "a PNG of the 8 best and the 8 worst, by the first model")
      .option("--reference-format", 'print and write lines "path score", as the reference does; one model')
      .option("--json", "print one line of JSON per rating, as they come unless sorted"),
  )
    .addHelpText(
      "after",
      "\nExit codes: 0 every picture has a score, 1 failed or some have none (after everything is written), 2 wrong usage, 130 stopped, 141 nobody reads the output any more.",
    )
    .action(async (given: string[], flags: ScoreFlags) => {
      const problem = problemOf(given, flags);
      if (problem !== null) program.error(`error: ${problem}`);
      if (flags.listModels === true) io.stdout.write(`${modelsText(listModels(), flags.json === true)}\n`);
      else exitCode = await score(given, flags, io, surroundings);
    });
  await program.parseAsync(args.map(dashes), { from: "user" });
  return exitCode;
}

function collect(value: string, before: readonly string[]): string[] {
  return [...before, value];
}

/** What contradicts itself in the flags; null where nothing does. */
function problemOf(given: readonly string[], flags: ScoreFlags): string | null {
  const { model: models, listModels: listing, out, resume, overwrite, referenceFormat, json } = flags;
  if (listing === true) return given.length > 0 ? "--list-models takes no pictures" : null;
  if (models.length === 0) return `required option '--model <checkpoint>' not specified: ${MODEL_HELP}`;
  if (given.length === 0) return "missing required argument 'pictures'";
  if (new Set(models).size < models.length) return "a --model is given twice";
  if (out === undefined && (resume ?? overwrite) === true) return "--resume and --overwrite concern a file: give --out";
  if (resume === true && overwrite === true) return "--resume keeps the file and --overwrite replaces it: give one";
  if (referenceFormat === true && json === true) return "--reference-format and --json are two ways to print: give one";
  const format = formatFor(flags);
  if (format === null) return `--out ${out} must end with .jsonl, .csv or .txt`;
  if (models.length > 1 && (format === "txt" || referenceFormat === true)) {
    return 'lines "path score" do not say which model: give one --model, or write jsonl or csv';
  }
  return metricFlagProblem(flags);
}

function formatFor({ out, referenceFormat }: ScoreFlags): ScoreFormat | null {
  if (referenceFormat === true) return "txt";
  return out === undefined ? "jsonl" : formatOf(out);
}

async function score(
  given: readonly string[],
  flags: ScoreFlags,
  io: CommandIo,
  surroundings: ScoreSurroundings,
): Promise<number> {
  const { out, sort, top, sheet, referenceFormat, json, batch } = flags;
  const say = (line: string): void => void io.stderr.write(`${line}\n`);
  const elsewhere = surroundings.connect !== undefined;
  const models = flags.model.map((model) => ({
    model,
    options: metricOptions(model, flags, io.cwd, elsewhere),
  }));
  const inputs = await findInputs(given, io.cwd);
  const best = sort === true || top !== undefined;
  const print = referenceFormat === true ? referenceLine : FORMATS.jsonl.line;
  const lines = json === true || referenceFormat === true;
  const show = (record: ScoreRecord): void => void io.stdout.write(print(record));

  const file = out === undefined ? null : await openFile(resolve(io.cwd, out), flags, models);
  const { pictures, runs, stopped } = await ratePictures({
    ...surroundings,
    inputs,
    models,
    batch,
    standing: file?.standing ?? [],
    keep: async (record, isNew) => {
      if (isNew) await file?.append(record);
      if (lines && !best) show(record);
    },
    say,
  }).finally(() => file?.close());

  if (io.closed?.aborted === true) return EXIT.closed;
  const shown = inOrder(pictures, { best, top });
  if (sheet !== undefined) await drawSheet(resolve(io.cwd, sheet), pictures, inputs);
  const summary = summaryTable(runs, pictures);
  for (const line of failureLines(pictures)) say(line);
  if (lines) {
    if (best) shown.flat().forEach(show);
    summary.forEach(say);
  } else {
    const table = out === undefined || best ? [...scoreTable(shown, flags.model), ""] : [];
    io.stdout.write(`${[...table, ...summary].join("\n")}\n`);
  }
  if (stopped) {
    say(out === undefined ? "stopped" : `stopped: what was rated is in ${out}, and --resume goes on behind it`);
    return EXIT.interrupted;
  }
  return pictures.flat().some((record) => record.score === null) ? EXIT.failed : EXIT.done;
}

async function drawSheet(
  file: string,
  pictures: readonly PictureScores[],
  inputs: readonly ScoreInput[],
): Promise<void> {
  const paths = new Map(inputs.map(({ name, path }) => [name, path]));
  const scored = inOrder(pictures, { best: true, top: undefined }).flatMap(([one]) =>
    one?.score == null ? [] : [{ path: paths.get(one.path)!, score: one.score }],
  );
  if (scored.length > 0) await writeRatingSheet({ pictures: scored, file });
}

/** Opened with what decides about a rating; where and how fast it is computed does not. */
async function openFile(path: string, flags: ScoreFlags, models: readonly AskedModel[]): Promise<ScoreFile> {
  const { device: _device, threads: _threads, ...asked } = metricFlagsOf(flags);
  const digests = models.map(async ({ model, options }) => {
    const { sha256, revision } = await digestModel(options.model, options.revision);
    return { model, sha256, revision };
  });
  const format = formatFor(flags)!;
  return openScoreFile({
    path,
    format,
    settings: { version: 1, format, ...asked, model: await Promise.all(digests) },
    models: flags.model,
    resume: flags.resume === true,
    overwrite: flags.overwrite === true,
  });
}
