/**
 * A checkpoint evaluated on labelled rows, with everything that is needed to repeat it and to tell two reports apart.
 *
 * @module
 */
import { loadRows } from "../../data/index.js";
import type { Row } from "../../data/index.js";
import type { ModelDescription, Policy } from "../../policy/index.js";
import { templateDigest } from "../../prompts/index.js";
import type { EstimatorName } from "../estimators.js";
import { openPolicy } from "../open-policy.js";
import { greyPicture } from "./blank.js";
import { canonicalJson } from "./canonical.js";
import { digestFile, digestModel, digestText } from "./digests.js";
import type { FileDigest, ModelDigest } from "./digests.js";
import { evaluateRows } from "./evaluate-rows.js";
import { evaluationSettings, policyConfig, rowsOptions, rowSource } from "./options.js";
import type { EvaluateOptions, EvaluationSettings } from "./options.js";
import { byEstimator } from "./results.js";
import type { DatasetResult, Prediction } from "./results.js";

/** A limit that was crossed. */
export interface EvaluationFailure {
  readonly code: "EVAL_UNPARSABLE";
  readonly dataset: string;
  readonly estimator: EstimatorName;
  /** Share of pictures without a score, and the largest that is allowed. */
  readonly value: number;
  readonly limit: number;
  readonly message: string;
}

/** What `report.json` holds: nothing that depends on the clock or on where files lie. */
export interface EvaluationReport {
  readonly schema: 1;
  readonly model: ModelDigest;
  /** The data files, in order. */
  readonly data: readonly FileDigest[];
  readonly settings: EvaluationSettings;
  readonly digests: {
    /** SHA-256 of the settings as canonical JSON, and of the question template's text. */
    readonly settings: string;
    readonly questionTemplate: string;
  };
  /** Where it ran: the last bits of a score depend on it. */
  readonly machine: Pick<
    ModelDescription,
    "family" | "device" | "dtype" | "attention" | "image" | "versions" | "threads"
  >;
  /** One per data set; for example `results[0].estimators.sampled.srcc`. */
  readonly results: readonly DatasetResult[];
  /** Limits that were crossed; none is success. */
  readonly failures: readonly EvaluationFailure[];
}

/** A report with its predictions, which `compareEvaluations` works on. */
export interface Evaluation extends EvaluationReport {
  readonly predictions: readonly Prediction[];
}

/** Share of pictures without a score above which an evaluation fails. */
const UNPARSABLE_LIMIT = 0.01;

/**
 * Evaluates a checkpoint: starts a worker, asks about every row with every estimator, and measures the agreement with the
 * labels. The same checkpoint, data and seed give the same result, bit for bit, on the same machine.
 *
 * @throws ConfigError EVAL_OPTION, METRIC_TOKENIZER, and what a configuration is refused for; DataError for the data
 */
export async function evaluate(options: EvaluateOptions): Promise<Evaluation> {
  const settings = evaluationSettings(options);
  const rows = await loadRows(rowSource(options.data, options));
  const data = await Promise.all([options.data].flat().map((path) => digestFile(path)));
  const model = await digestModel(options.model, options.revision);
  await using policy = await openEvaluated(options.model, options, settings);
  const { results, predictions } = await evaluateRows(policy, rows, rowsOptions(options, settings));
  return {
    schema: 1,
    model,
    data,
    settings,
    digests: {
      settings: digestText(canonicalJson(settings)),
      questionTemplate: templateDigest(settings.questionTemplate),
    },
    machine: machineOf(policy),
    results,
    failures: settings.onMissing === "fail" ? results.flatMap(failuresOf) : [],
    predictions,
  };
}

/** The policy of a checkpoint that is evaluated, for inference only. */
export function openEvaluated(
  model: string,
  options: EvaluateOptions,
  settings: EvaluationSettings,
): Promise<Policy<Row>> {
  const { connect, onStderr, signal } = options;
  return openPolicy(policyConfig(model, options, settings), {
    inference: true,
    ...(settings.blank && { replacePicture: greyPicture }),
    ...(connect && { connect }),
    ...(onStderr && { onStderr }),
    ...(signal && { signal }),
  });
}

/** What a report says of the machine. */
export function machineOf({ description }: Policy<Row>): EvaluationReport["machine"] {
  const { family, device, dtype, attention, image, versions, threads } = description;
  return { family, device, dtype, attention, image, versions, threads };
}

/** Limits that a data set's result crosses. */
export function failuresOf(result: DatasetResult): EvaluationFailure[] {
  return byEstimator(result).flatMap(([estimator, { n, unparsable }]): EvaluationFailure[] => {
    const value = unparsable / n;
    if (value <= UNPARSABLE_LIMIT) return [];
    const percent = (share: number): string => `${Number((100 * share).toPrecision(3))} %`;
    const message = `${result.dataset}, ${estimator}: ${unparsable} of ${n} pictures have no score (${percent(value)}; the limit is ${percent(UNPARSABLE_LIMIT)}).`;
    return [{ code: "EVAL_UNPARSABLE", dataset: result.dataset, estimator, value, limit: UNPARSABLE_LIMIT, message }];
  });
}
