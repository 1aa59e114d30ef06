/**
 * `thurstone compare`: the probability that one picture is better than another.
 *
 * @module
 */
import { resolve } from "node:path";
import { normalCdf } from "../stats/index.js";
import { createMetric } from "../trainer/index.js";
import type { MetricOptions, Rating } from "../trainer/index.js";
import { EXIT } from "./io.js";
import type { Command, CommandIo } from "./io.js";
import { dashes, ownProgram } from "./own-program.js";
import { untilInterrupted } from "./scoring/interrupt.js";
import { addMetricFlags, metricFlagProblem, metricOptions, MODEL_HELP } from "./scoring/metric-flags.js";
import type { MetricFlags } from "./scoring/metric-flags.js";
import { table } from "./table.js";

interface CompareFlags extends MetricFlags {
  readonly model: string;
  readonly json?: true;
}

export const compareCommand: Command = (args, io) =>
  untilInterrupted((signal) => runCompareCommand(args, io, { signal }));

/** The command in a test's surroundings. */
export async function runCompareCommand(
  args: readonly string[],
  io: CommandIo,
  surroundings: Pick<MetricOptions, "connect" | "signal">,
): Promise<number> {
  let exitCode: number = EXIT.done;
  const program = addMetricFlags(
    ownProgram("compare", io)
      .description(
        "the probability that picture A is better than picture B (Thurstone), with mean and deviation of both",
      )
      .argument("<A>", "a picture")
      .argument("<B>", "another one")
      .requiredOption("--model <checkpoint>", MODEL_HELP)
      .option("--json", "print one line of JSON"),
  )
    .addHelpText("after", "\nExit codes: 0 compared, 1 failed or a picture has no score, 2 wrong usage, 130 stopped.")
    .action(async (a: string, b: string, flags: CompareFlags) => {
      const problem = problemOf(flags);
      if (problem !== null) program.error(`error: ${problem}`);
      exitCode = await compare([a, b], flags, io, surroundings);
    });
  await program.parseAsync(args.map(dashes), { from: "user" });
  return exitCode;
}

/** One answer has no deviation, and a probability made up of one would look like a measured one. */
function problemOf(flags: CompareFlags): string | null {
  if (flags.mode === "expected" || (flags.samples ?? 1) > 1) return metricFlagProblem(flags);
  return `--mode ${flags.mode} needs --samples of at least 2: the probability is made of the deviation of the answers`;
}

/** What a comparison needs of a rating. */
export type Compared = Pick<Rating, "score" | "std">;

/**
 * Thurstone's case: both qualities are normal and independent, so A is better with
 * `Phi((mean_A - mean_B) / sqrt(std_A^2 + std_B^2))`.
 *
 * @returns where both deviations are 0 the limit of that: 1, 0, or 0.5 for equal scores; null where a score or a deviation is
 * missing
 */
export function probabilityBetter(a: Compared, b: Compared): number | null {
  if (a.score === null || b.score === null || a.std === null || b.std === null) return null;
  const difference = a.score - b.score;
  const deviation = Math.hypot(a.std, b.std);
  if (deviation === 0) return (1 + Math.sign(difference)) / 2;
  return normalCdf(difference / deviation);
}

async function compare(
  paths: readonly [string, string],
  flags: CompareFlags,
  io: CommandIo,
  { connect, signal }: Pick<MetricOptions, "connect" | "signal">,
): Promise<number> {
  const { model, json } = flags;
  const ratings: Rating[] = [];
  try {
    await using metric = await createMetric({
      ...metricOptions(model, flags, io.cwd, connect !== undefined),
      ...(connect && { connect }),
      ...(signal && { signal }),
      onStderr: (line) => void io.stderr.write(`worker: ${line}\n`),
    });
    const inputs = paths.map((path) => resolve(io.cwd, path));
    for await (const rating of metric.score(inputs, signal && { signal })) ratings.push(rating);
  } catch (error) {
    if (signal?.aborted === true) return EXIT.interrupted;
    throw error;
  }
  const [a, b] = ratings.map((rating, index) => ({ ...rating, id: paths[index]! })) as [Rating, Rating];
  const probability = probabilityBetter(a, b);
  const missing = [a, b].filter(({ score, std }) => score === null || std === null);
  for (const { id, code, reason } of missing) {
    io.stderr.write(
      `${id}: ${code ?? "fewer than two answers could be read, so there is no deviation"}  ${reason ?? ""}\n`,
    );
  }
  io.stdout.write(`${json === true ? JSON.stringify({ model, probability, a, b }) : text(probability, a, b)}\n`);
  return probability === null ? EXIT.failed : EXIT.done;
}

function text(probability: number | null, a: Rating, b: Rating): string {
  const cell = (value: number | null): string => (value === null ? "-" : value.toFixed(3));
  const rows = [a, b].map(({ id, score, std }, index) => ["AB"[index]!, id, cell(score), cell(std)]);
  return [
    `A is better than B with a probability of ${cell(probability)}`,
    "",
    ...table(["", "picture", "score", "deviation"], rows),
  ].join("\n");
}
