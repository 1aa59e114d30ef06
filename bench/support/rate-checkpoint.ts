/**
 * How well a checkpoint ranks labelled pictures, by each of the three ways to a score.
 *
 * @module
 */
import type { ConfigInput } from "../../src/config/index.js";
import { loadRows } from "../../src/data/index.js";
import type { Row } from "../../src/data/index.js";
import type { Policy } from "../../src/policy/index.js";
import { formatReward } from "../../src/rewards/index.js";
import { bootstrapInterval, mean, srcc, standardDeviation } from "../../src/stats/index.js";
import { askAnswers, askGreedy, greedyEstimate, parseAnswers, sampledEstimate } from "../../src/trainer/estimators.js";
import { expectedEstimator, thoughtsOf } from "../../src/trainer/expected-estimator.js";
import { openPolicy } from "../../src/trainer/index.js";
import type { RankingResult } from "./ranking-results.js";

export interface RateCheckpointOptions {
  /** Folder of the checkpoint. */
  readonly model: string;
  /** JSONL file of one data set, all rows with labels. */
  readonly data: string;
  /** Question, length of answers, precision and threads as in training. */
  readonly settings: Partial<ConfigInput>;
}

type Figures = RankingResult["evaluation"]["sampled"];

/** Answers per picture of the sampled estimator. */
const SAMPLES = 6;
/** Names the draws of answers and resamples: the same for all checkpoints. */
const SEED = 42;
const ROWS_PER_CALL = 64;

export async function rateCheckpoint(
  options: RateCheckpointOptions,
): Promise<Pick<RankingResult, "evaluation" | "labels" | "groups">> {
  const { model, data, settings } = options;
  const config: ConfigInput = { ...settings, model_name_or_path: model, data_file_paths: data, seed: SEED, beta: 0 };
  const rows = await loadRows(config);
  const labels = rows.map(({ id, mos }) => {
    if (mos === undefined) throw new Error(`${data}: row ${id} has no label.`);
    return mos;
  });
  if (new Set(rows.map(({ dataset }) => dataset)).size > 1) throw new Error(`${data} holds several data sets.`);
  const groups = rows.map(({ group, id }) => group ?? id);
  await using policy = await openPolicy(config);
  const scores = await scoreRows(policy, rows);
  const figures = (of: (number | null)[], formats: readonly number[] = []): Figures =>
    figuresOf(of, labels, groups, mean(formats));
  return {
    evaluation: {
      sampled: figures(scores.sampled, scores.sampledFormats),
      greedy: figures(scores.greedy, scores.greedyFormats),
      expected: figures(scores.expected),
    },
    labels,
    groups,
  };
}

async function scoreRows(policy: Policy<Row>, rows: readonly Row[]) {
  const expectedOf = await expectedEstimator(policy);
  const all = {
    sampled: [] as (number | null)[],
    greedy: [] as (number | null)[],
    expected: [] as (number | null)[],
    sampledFormats: [] as number[],
    greedyFormats: [] as number[],
  };
  for (let first = 0; first < rows.length; first += ROWS_PER_CALL) {
    const prompts = await policy.encode(rows.slice(first, first + ROWS_PER_CALL));
    const answered = await askAnswers(policy, prompts, { samples: SAMPLES });
    const greedy = await askGreedy(policy, prompts);
    const thoughts = greedy.map(({ completions }) => thoughtsOf(completions[0]!.text));
    const expected = await expectedOf(prompts, { thoughts });
    all.sampled.push(
      ...answered.map(({ completions }) => sampledEstimate(completions, parseAnswers(completions)).score),
    );
    all.greedy.push(
      ...greedy.map(({ completions }) => greedyEstimate(completions[0]!, parseAnswers(completions)[0]!).score),
    );
    all.expected.push(...expected.map(({ score }) => score));
    all.sampledFormats.push(
      ...answered.flatMap(({ completions }) => completions.map(({ text }) => formatReward(text))),
    );
    all.greedyFormats.push(...greedy.map(({ completions }) => formatReward(completions[0]!.text)));
  }
  return all;
}

function figuresOf(
  scores: readonly (number | null)[],
  labels: readonly number[],
  groups: readonly string[],
  formatRate: number | null,
): Figures {
  const scored = scores.map((_, index) => index).filter((index) => scores[index] !== null);
  const pick = <T>(values: readonly T[]): T[] => scored.map((index) => values[index]!);
  const known = pick(scores) as number[];
  const interval = bootstrapInterval(known, pick(labels), { groups: pick(groups), seed: SEED });
  return {
    srcc: srcc(known, pick(labels)),
    low: interval?.low ?? null,
    high: interval?.high ?? null,
    spread: standardDeviation(known),
    formatRate,
    unscored: scores.length - known.length,
    scores: scores.map((score) => (score === null ? null : Number(score.toFixed(4)))),
  };
}
