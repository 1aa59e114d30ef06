/**
 * Where the sampled gain of a trained model comes from: sharpening, which the start reaches by itself at a lower temperature,
 * and reordering, which is the rest.
 *
 * A policy that only grows surer of what it believed already raises the correlation of its sampled answers without having
 * learnt anything about pictures. The temperature that brings most of that out of the start is chosen on validation data, so
 * that the choice cannot fit the test data.
 *
 * @module
 */
import { loadRows } from "../../data/index.js";
import type { Row } from "../../data/index.js";
import { ConfigError } from "../../errors.js";
import type { Policy } from "../../policy/index.js";
import { mean } from "../../stats/index.js";
import type { BootstrapInterval } from "../../stats/index.js";
import { pairedDifference } from "./compare.js";
import { digestFile, digestModel } from "./digests.js";
import type { FileDigest, ModelDigest } from "./digests.js";
import { failuresOf, machineOf, openEvaluated } from "./evaluate.js";
import type { EvaluationFailure, EvaluationReport } from "./evaluate.js";
import { evaluateRows } from "./evaluate-rows.js";
import type { RowsEvaluation } from "./evaluate-rows.js";
import { evaluationSettings, rowsOptions, rowSource } from "./options.js";
import type { EvaluateOptions, EvaluationSettings } from "./options.js";
import type { Reasons } from "./reasons.js";
import type { Prediction } from "./results.js";

/** Two checkpoints, data to choose on and data to test on. `temperature` is the one that training sampled at. */
export interface LedgerOptions extends Omit<EvaluateOptions, "estimators" | "expectedAfter"> {
  /** The checkpoint that training started from; `model` is the trained one. */
  readonly start: string;
  /** JSONL files on which the temperature is chosen; `imageFolders` holds for them too. */
  readonly validation: string | readonly string[];
  /** Temperatures to choose from; `temperature` is always one of them. Default 0.1, 0.2, ... 1. */
  readonly temperatures?: readonly number[];
}

/** A difference of two correlations on the same pictures, with the interval of the difference. */
export interface LedgerTerm {
  readonly difference: number | null;
  readonly interval: BootstrapInterval | null;
  /** By name of a figure that is null: why. */
  readonly reasons: Reasons;
}

/** The split on one data set, over the pictures that all three score. gain = sharpening + reordering. */
export interface LedgerResult {
  readonly dataset: string;
  readonly n: number;
  readonly scored: number;
  /** Sampled SRCC: of the start, of the start at the chosen temperature, of the trained model. */
  readonly start: number | null;
  readonly sharpened: number | null;
  readonly trained: number | null;
  readonly gain: LedgerTerm;
  readonly sharpening: LedgerTerm;
  readonly reordering: LedgerTerm;
  /** By name of a correlation that is null: why. */
  readonly reasons: Reasons;
}

/** A temperature with what the start reaches on the validation data: mean SRCC over their data sets. */
export interface LedgerTemperature {
  readonly temperature: number;
  readonly srcc: number | null;
  /** Why there is no correlation; null where there is one. */
  readonly reason: string | null;
}

/** Nothing in it depends on the clock or on where files lie. */
export interface Ledger {
  readonly schema: 1;
  readonly start: ModelDigest;
  readonly model: ModelDigest;
  readonly validation: readonly FileDigest[];
  readonly data: readonly FileDigest[];
  readonly settings: EvaluationSettings;
  readonly machine: EvaluationReport["machine"];
  readonly temperatures: readonly LedgerTemperature[];
  /** The one that was chosen. */
  readonly chosen: number;
  readonly results: readonly LedgerResult[];
  /** On the test data, by which of the three. */
  readonly failures: readonly (EvaluationFailure & { readonly of: "start" | "sharpened" | "trained" })[];
}

const TEMPERATURES = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1];

/**
 * Splits the sampled gain of a trained model over its start.
 *
 * @throws ConfigError EVAL_OPTION, EVAL_NO_TEMPERATURE when the start's answers correlate with the labels at none of them
 */
export async function ledger(options: LedgerOptions): Promise<Ledger> {
  const settings = evaluationSettings({ ...options, estimators: ["sampled"] });
  const grid = gridOf(options, settings);
  const rows = await loadRows(rowSource(options.data, options));
  const validation = await loadRows(rowSource(options.validation, options));
  const files = async (paths: string | readonly string[]): Promise<FileDigest[]> =>
    Promise.all([paths].flat().map((path) => digestFile(path)));
  const digests = {
    start: await digestModel(options.start, options.revision),
    model: await digestModel(options.model, options.revision),
    validation: await files(options.validation),
    data: await files(options.data),
  };
  const at = (policy: Policy<Row>, asked: readonly Row[], temperature: number): Promise<RowsEvaluation> =>
    evaluateRows(policy, asked, { ...rowsOptions(options, settings), temperature });

  const temperatures: LedgerTemperature[] = [];
  const tested: { start?: RowsEvaluation; sharpened?: RowsEvaluation; trained?: RowsEvaluation } = {};
  let chosen: number;
  {
    await using policy = await openEvaluated(options.start, options, settings);
    for (const temperature of grid) {
      temperatures.push({ temperature, ...meanSrcc(await at(policy, validation, temperature)) });
    }
    chosen = bestOf(temperatures, settings.temperature);
    tested.start = await at(policy, rows, settings.temperature);
    tested.sharpened = chosen === settings.temperature ? tested.start : await at(policy, rows, chosen);
  }
  await using policy = await openEvaluated(options.model, options, settings);
  tested.trained = await at(policy, rows, settings.temperature);
  const { start, sharpened, trained } = tested;
  const limited = settings.onMissing === "fail" ? Object.entries({ start, sharpened, trained }) : [];
  return {
    schema: 1,
    ...digests,
    settings,
    machine: machineOf(policy),
    temperatures,
    chosen,
    results: trained.results.map(({ dataset }) => {
      const own = [start, sharpened, trained].map(({ predictions }) =>
        predictions.filter((prediction) => prediction.dataset === dataset),
      ) as [Prediction[], Prediction[], Prediction[]];
      return { dataset, ...splitGain(own, settings) };
    }),
    failures: limited.flatMap(([of, { results }]) =>
      results.flatMap(failuresOf).map((failure) => ({ ...failure, of: of as "start" | "sharpened" | "trained" })),
    ),
  };
}

/**
 * The split from predictions alone.
 *
 * @param predictions sampled, for the same rows: of the start, of the start at the chosen temperature, of the trained model
 */
export function splitGain(
  predictions: readonly [readonly Prediction[], readonly Prediction[], readonly Prediction[]],
  { bootstrap, seed }: Pick<EvaluationSettings, "bootstrap" | "seed">,
): Omit<LedgerResult, "dataset"> {
  const everywhere = (_: Prediction, index: number): boolean =>
    predictions.every((list) => list[index] !== undefined && list[index].score !== null && list[index].mos !== null);
  const [start, sharpened, trained] = predictions.map((list) => list.filter(everywhere)) as [
    Prediction[],
    Prediction[],
    Prediction[],
  ];
  const [gain, sharpening, reordering] = [
    [start, trained],
    [start, sharpened],
    [sharpened, trained],
  ].map(([before, after]) => pairedDifference(before!, after!, { resamples: bootstrap, seed }));
  const term = ({ difference, interval, reasons: all }: LedgerTerm): LedgerTerm => ({
    difference,
    interval,
    reasons: pickReasons(all, { difference: "difference", interval: "interval" }),
  });
  return {
    n: predictions[0].length,
    scored: start.length,
    start: gain!.before,
    sharpened: sharpening!.after,
    trained: gain!.after,
    gain: term(gain!),
    sharpening: term(sharpening!),
    reordering: term(reordering!),
    reasons: {
      ...pickReasons(gain!.reasons, { start: "before", trained: "after" }),
      ...pickReasons(sharpening!.reasons, { sharpened: "after" }),
    },
  };
}

/** @param names by the name they get */
function pickReasons(reasons: Reasons, names: Readonly<Record<string, string>>): Reasons {
  return Object.fromEntries(
    Object.entries(names).flatMap(([name, known]) => (reasons[known] === undefined ? [] : [[name, reasons[known]]])),
  );
}

/** In ascending order, without repetition. */
function gridOf({ temperatures = TEMPERATURES }: LedgerOptions, { temperature }: EvaluationSettings): number[] {
  const wrong = temperatures.find((one) => !(Number.isFinite(one) && one > 0));
  if (wrong !== undefined) throw new ConfigError("EVAL_OPTION", `a temperature is ${wrong}; all must be above 0.`);
  return [...new Set([...temperatures, temperature])].sort((a, b) => a - b);
}

function meanSrcc({ results }: RowsEvaluation): Omit<LedgerTemperature, "temperature"> {
  const sampled = results.map(({ dataset, estimators }) => ({ dataset, ...estimators.sampled! }));
  const lacking = sampled.find(({ srcc }) => srcc === null);
  if (lacking !== undefined) return { srcc: null, reason: `${lacking.dataset}: ${lacking.reasons["srcc"]!}` };
  return { srcc: mean(sampled.map(({ srcc }) => srcc!)), reason: null };
}

/** Of equal ones the one that is nearest to the temperature of training. */
function bestOf(temperatures: readonly LedgerTemperature[], trainedAt: number): number {
  const [best] = temperatures
    .filter(({ srcc }) => srcc !== null)
    .toSorted((a, b) => b.srcc! - a.srcc! || Math.abs(a.temperature - trainedAt) - Math.abs(b.temperature - trainedAt));
  if (best !== undefined) return best.temperature;
  throw new ConfigError(
    "EVAL_NO_TEMPERATURE",
    "the start's answers to the validation data have no rank correlation with the labels at any temperature: fewer than 3 can be read, or all are equal. Without it there is nothing to split; use another start or more validation data.",
  );
}
