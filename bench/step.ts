/**
 * A whole GRPO step, ours and TRL's in turn: the same checkpoint, pictures, prompts, lengths and settings, on one thread.
 *
 *     npm run bench -- step --setup
 *     npm run bench -- step [--shape kadid,koniq] [--rounds 3] [--compact | --stock] [--json]
 *
 * `--setup` makes TRL's environment. Every round is a process of its own, whose first step warms up and whose second is
 * measured; the table holds medians over the rounds. Seconds are of the processor, of all processes that take part: a busy
 * machine stretches wall time. `--compact` (what is done without a flag) lets TRL apply the head to completion positions
 * alone, as it does on CUDA; `--stock` leaves it as it comes, which on a CPU applies it to prompts too. Operations are
 * those of torch's counter, over the least there must be (bench/support/minimum_flops.py). `--json` ends with one line.
 * Exits with status 1 when a limit is missed. Linux only. docs/performance.md explains what is counted.
 *
 * @module
 */
import { cpus } from "node:os";
import { parseArgs } from "node:util";
import { printError } from "../src/cli/print-error.js";
import { formatNumber, table } from "../src/cli/table.js";
import { ConfigError, ThurstoneError } from "../src/errors.js";
import { percentile } from "./support/measure.js";
import { runPair, withMaterial } from "./support/step-runs.js";
import type { Pair } from "./support/step-runs.js";
import { SHAPES, shapesOf } from "./support/step-shapes.js";
import type { StepMeasurement } from "./support/step-shapes.js";
import { findTrl, setUpTrl } from "./support/trl-environment.js";

/** Least times TRL's processor seconds, by shape. */
const CPU_LIMITS: Readonly<Record<string, number>> = { kadid: 4, koniq: 6, frozen: 6 };
/** Most of TRL's peak memory, and of the least operations. */
const MEMORY_LIMIT = 0.33;
const FLOPS_LIMIT = 1.05;

interface StepResult {
  readonly shape: string;
  readonly ours: StepMeasurement;
  readonly trl: StepMeasurement;
  /** TRL's processor seconds over ours. */
  readonly ratio_cpu: number;
  /** Our worker's peak memory over TRL's. */
  readonly ratio_memory: number;
  readonly flops_over_minimum: number;
}

function medians(measurements: readonly StepMeasurement[]): StepMeasurement {
  const names = Object.keys(measurements[0]!) as (keyof StepMeasurement)[];
  const middle = (name: keyof StepMeasurement): number =>
    percentile(
      measurements.map((one) => one[name]),
      0.5,
    );
  return Object.fromEntries(names.map((name) => [name, middle(name)])) as unknown as StepMeasurement;
}

function resultOf(shape: string, pairs: readonly Pair[], overMinimum: number): StepResult {
  const ours = medians(pairs.map((pair) => pair.ours));
  const trl = medians(pairs.map((pair) => pair.trl));
  return {
    shape,
    ours,
    trl,
    ratio_cpu: trl.cpu / ours.cpu,
    ratio_memory: ours.peak / trl.peak,
    flops_over_minimum: overMinimum,
  };
}

interface Check {
  readonly text: string;
  readonly met: boolean;
}

function checksOf({ shape, ratio_cpu, ratio_memory, flops_over_minimum }: StepResult): Check[] {
  const least = CPU_LIMITS[shape];
  const verdict = (met: boolean, text: string): Check => ({ met, text: `${text}: ${met ? "met" : "MISSED"}` });
  return [
    ...(least === undefined ? [] : [verdict(ratio_cpu >= least, `cpu >= ${least}`)]),
    verdict(ratio_memory <= MEMORY_LIMIT, `memory <= ${MEMORY_LIMIT}`),
    verdict(flops_over_minimum <= FLOPS_LIMIT, `operations <= ${FLOPS_LIMIT}`),
  ];
}

function linesOf(result: StepResult): string[][] {
  const cells = (
    name: string,
    { cpu, generation, loss, rest, wall, peak, control, ...one }: StepMeasurement,
  ): string[] => [
    name,
    ...[cpu, generation, loss, rest, wall].map((seconds) => seconds.toFixed(2)),
    (peak / 2 ** 30).toFixed(2),
    (control / 2 ** 20).toFixed(0),
    `${one.prompt_tokens} + ${one.completion_tokens}`,
  ];
  const { shape, ours, trl, ratio_cpu, ratio_memory, flops_over_minimum } = result;
  const ratios = [ratio_cpu, ratio_memory, flops_over_minimum].map(formatNumber);
  const limits = checksOf(result)
    .map(({ text }) => text)
    .join("; ");
  return [
    [...cells(`${shape}: TRL`, trl), "", "", "", ""],
    [...cells(`${shape}: ours`, ours), ...ratios, limits],
  ];
}

const { values } = parseArgs({
  options: {
    setup: { type: "boolean", default: false },
    shape: { type: "string", default: SHAPES.map(({ name }) => name).join(",") },
    rounds: { type: "string", default: "3" },
    compact: { type: "boolean", default: false },
    stock: { type: "boolean", default: false },
    json: { type: "boolean", default: false },
  },
});
const say = (line: string): void => void process.stderr.write(`step  ${line}\n`);

function measureShapes(): StepResult[] {
  const rounds = Number(values.rounds);
  if ((values.compact && values.stock) || !Number.isInteger(rounds) || rounds < 1) {
    throw new ConfigError(
      "CONFIG_BENCH_ARGUMENTS",
      `--rounds is "${values.rounds}"; expected a whole number from 1, and --compact or --stock, not both.`,
    );
  }
  const shapes = shapesOf(values.shape);
  const python = findTrl();
  return shapes.map((shape) =>
    withMaterial(shape, { compact: !values.stock }, ({ job, overMinimum, promptTokens }) => {
      say(`${shape.name}: operations ${formatNumber(overMinimum)} of the least`);
      const pairs = Array.from({ length: rounds }, (_, round) => {
        const pair = runPair(job, python, promptTokens);
        say(`${shape.name}, round ${round + 1}: ours ${pair.ours.cpu.toFixed(1)} s, TRL ${pair.trl.cpu.toFixed(1)} s`);
        return pair;
      });
      return resultOf(shape.name, pairs, overMinimum);
    }),
  );
}

function main(): void {
  if (values.setup) return setUpTrl(say);
  const results = measureShapes();
  const header = [
    "processor seconds of a step",
    "all",
    "generation",
    "loss",
    "rest",
    "wall",
    "peak GiB",
    "Node MiB",
    "tokens",
    "TRL / ours",
    "memory",
    "operations",
    "limits",
  ];
  const processors = cpus();
  process.stdout.write(
    `${processors[0]!.model}, ${processors.length} cores, one thread used; medians of ${values.rounds}\n${table(header, results.flatMap(linesOf)).join("\n")}\n`,
  );
  if (values.json) process.stdout.write(`${JSON.stringify(results)}\n`);
  process.exitCode = results.flatMap(checksOf).every(({ met }) => met) ? 0 : 1;
}

try {
  main();
} catch (error) {
  if (!ThurstoneError.isInstance(error)) throw error;
  printError(error, { stderr: process.stderr, verbose: false });
  process.exitCode = 2;
}
