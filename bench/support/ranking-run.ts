/**
 * One run of `bench/ranking.ts`: trains from a start as a condition says, then evaluates.
 *
 * @module
 */
import { digestFile, digestModel, digestText } from "../../src/trainer/evaluation/digests.js";
import { LAYOUT_WEIGHT, commonSettings, conditionOf } from "./ranking-conditions.js";
import type { Condition } from "./ranking-conditions.js";
import type { RankingResult } from "./ranking-results.js";
import { answerSettings, trainFrom } from "./ranking-training.js";
import type { RankingRun, RankingSources } from "./ranking-training.js";
import { rateCheckpoint } from "./rate-checkpoint.js";

/** Everything that decides a result, by content. */
export async function digestOf(
  { condition, seed, blank }: Pick<RankingRun, "condition" | "seed" | "blank">,
  model: string,
  sources: RankingSources,
): Promise<string> {
  const { question_template, max_completion_length, torch_dtype } = { ...commonSettings, ...sources.settings };
  const content = [
    condition,
    // Nothing else concerns an evaluation.
    { question_template, max_completion_length, torch_dtype },
    condition === "start"
      ? null
      : {
          seed,
          ...(await trainingSettings(conditionOf(condition), sources)),
          data: (await digestFile(sources.train)).sha256,
        },
    (await digestFile(sources.test)).sha256,
    (await digestModel(model)).sha256,
    ...(blank ? ["blank"] : []),
  ];
  return digestText(JSON.stringify(content)).slice(0, 16);
}

/** What a training depends on besides its data, its seed and where it begins. */
async function trainingSettings(condition: Condition, sources: RankingSources): Promise<object> {
  if (condition.kind === "answers") return answerSettings(condition, sources);
  const { pays, overrides } = condition;
  return { ...commonSettings, ...sources.settings, ...overrides, pays, layoutWeight: LAYOUT_WEIGHT };
}

/** Does the run, from the checkpoint to the figures. */
export async function runJob(run: RankingRun): Promise<RankingResult> {
  const { condition, start, seed, digest } = run;
  const { model, ...trained } =
    condition === "start" ? { model: run.model, ...UNTRAINED } : await trainFrom(run, conditionOf(condition));
  const asked = { model, data: run.test, settings: { ...commonSettings, ...run.settings } };
  const evaluated = await rateCheckpoint(asked);
  const blank = run.blank ? (await rateCheckpoint({ ...asked, blank: true })).evaluation : null;
  return { condition, start, seed, digest, ...trained, ...evaluated, blank };
}

const UNTRAINED = { steps: null, seconds: null, cpuSeconds: null, warmupEnd: null, collapses: [], curve: [] };
