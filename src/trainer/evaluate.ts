/**
 * Evaluation on held-out rows: the model answers, the answers are parsed, the mean of the valid ones is the rating.
 *
 * An answer that cannot be parsed is counted and left out; a picture without any valid answer has no rating. Nothing is
 * substituted.
 *
 * @module
 */
import type { Row } from "../data/index.js";
import type { Policy, RolloutGroup } from "../policy/index.js";
import { formatReward, parseScore } from "../rewards/index.js";
import { mean, srcc, standardDeviation } from "../stats/index.js";
import type { EvaluationSummary } from "./events.js";

/** Options of `evaluateRows`. */
export interface EvaluateOptions {
  /** Responses per picture; 1 is greedy, more are sampled and averaged. */
  readonly samples: number;
  /** Names the draws. */
  readonly step: number;
  /** Whether the question asks for a think block. Default true. */
  readonly thinking?: boolean;
  /** Read answers as the reference's code does. Default false. */
  readonly referenceParity?: boolean;
  readonly signal?: AbortSignal | undefined;
}

/** Rows asked for in one go. Their pictures are not pinned, so that a large held-out set never fills the worker's cache. */
const ROWS_PER_CALL = 64;

/** @returns one summary per data set, in the order in which data sets first occur */
export async function evaluateRows(
  policy: Policy<Row>,
  rows: readonly Row[],
  options: EvaluateOptions,
): Promise<EvaluationSummary[]> {
  const groups: RolloutGroup<Row>[] = [];
  for (let first = 0; first < rows.length; first += ROWS_PER_CALL) {
    const signal = options.signal && { signal: options.signal };
    const prompts = await policy.encode(rows.slice(first, first + ROWS_PER_CALL), { ...signal });
    const greedy = options.samples === 1 ? { temperature: 0 } : {};
    const { samples, step } = options;
    groups.push(...(await policy.generate(prompts, { samples, step, stream: "eval", ...greedy, ...signal })));
  }
  const datasets = [...new Set(rows.map((row) => row.dataset))];
  return datasets.map((dataset) => {
    const own = groups.filter((group) => group.prompt.row.dataset === dataset);
    return summarise(dataset, own, options);
  });
}

function summarise(
  dataset: string,
  groups: readonly RolloutGroup<Row>[],
  { thinking = true, referenceParity = false }: EvaluateOptions,
): EvaluationSummary {
  const texts = groups.flatMap((group) => group.completions.map(({ text }) => text));
  const ratings = groups.map((group) => rate(group, referenceParity));
  const scored = ratings.filter((rating) => rating.score !== null);
  const labelled = scored.filter((rating) => rating.row.mos !== undefined);
  return {
    dataset,
    n: groups.length,
    scored: scored.length,
    unparsable: ratings.flatMap((rating) => rating.scores).filter((score) => score === null).length,
    responses: texts.length,
    srcc: srcc(
      labelled.map((rating) => rating.score!),
      labelled.map((rating) => rating.row.mos!),
    ),
    formatRate: mean(texts.map((text) => formatReward(text, { thinking, referenceParity }))) ?? 0,
    spread: standardDeviation(scored.map((rating) => rating.score!)),
  };
}

/** A picture with its rating; null when no answer could be parsed. */
interface Rating {
  readonly row: Row;
  readonly score: number | null;
  readonly scores: readonly (number | null)[];
}

function rate(group: RolloutGroup<Row>, referenceParity: boolean): Rating {
  const scores = group.completions.map(({ text }) => parseScore(text, { referenceParity }).score);
  return { row: group.prompt.row, scores, score: mean(scores.filter((score) => score !== null)) };
}
