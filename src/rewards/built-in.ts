/**
 * The rewards that need no code: known by name in configurations and records.
 *
 * @module
 */

import { z } from "zod";
import { defineReward, type Reward, type ScoreBatchContext } from "./define.js";
import { distortionReward, parseDistortion, type DistortionOptions } from "./distortion.js";
import { formatReward, type FormatOptions } from "./format.js";
import { overlongReward, type OverlongOptions } from "./overlong.js";
import type { ComparedGroup, GroupRewards, RatedGroup } from "./pairs.js";
import { parseScore, type ParseOptions } from "./parse.js";
import { binary, constantAnswerReward, fidelity, margin, winProbability, type FidelityOptions } from "./ranking.js";
import { regression, threshold, type ThresholdOptions } from "./rating.js";
import { withQuirks } from "./reference-quirks.js";
import type { RewardGroup } from "./score.js";
import { unreadableScore, type UnreadableOptions } from "./unreadable.js";

/** Options of all built-in rewards; each takes those that concern it. */
export interface BuiltInRewardOptions
  extends
    ParseOptions,
    FormatOptions,
    FidelityOptions,
    OverlongOptions,
    ThresholdOptions,
    DistortionOptions,
    UnreadableOptions {}

/** The columns a rating reward needs. */
const ratedRow = z.object({
  dataset: z.string(),
  mos: z.number(),
  mosStd: z.number().nonnegative().optional(),
});
type RatedRow = z.output<typeof ratedRow>;

/** The columns of a reward that compares the model's answers with each other. */
const unlabelledRow = ratedRow.partial({ mos: true });
type ComparedRow = z.output<typeof unlabelledRow>;

/** The columns of the distortion reward; a row without a type cannot be judged. */
const distortedRow = z.object({
  type: z.string().optional(),
  type_name: z.string().optional(),
  level: z.number().optional(),
});

/** The built-in rewards by name. */
export const builtInRewards = {
  format: (options: BuiltInRewardOptions = {}): Reward =>
    defineReward({ name: "format", score: ({ completion }) => formatReward(completion.text, options) }),
  fidelity: (options: BuiltInRewardOptions = {}): Reward =>
    defineReward({
      ...comparing("fidelity", options, (groups) => fidelity(groups, options)),
      constantAnswer: (batch) => constantAnswerReward(scoredGroups(batch, options), options),
    }),
  win_probability: (options: BuiltInRewardOptions = {}): Reward =>
    defineReward(comparing("win_probability", options, (groups) => winProbability(groups, options))),
  binary: (options: BuiltInRewardOptions = {}): Reward =>
    defineReward(comparing("binary", options, (groups) => binary(groups, options))),
  margin: (options: BuiltInRewardOptions = {}): Reward =>
    defineReward({ ...rating("margin", options, (groups) => margin(groups, options)), minimumPrompts: 2 }),
  threshold: (options: BuiltInRewardOptions = {}): Reward =>
    defineReward(rating("threshold", options, (groups) => threshold(groups, options))),
  regression: (options: BuiltInRewardOptions = {}): Reward =>
    defineReward(rating("regression", options, (groups) => regression(groups))),
  distortion: (options: BuiltInRewardOptions = {}): Reward =>
    defineReward({
      name: "distortion",
      row: distortedRow,
      score: ({ completion, row: { type, type_name: typeName, level } }) =>
        type === undefined
          ? null
          : distortionReward(parseDistortion(completion.text), { type, typeName, level }, options),
    }),
  overlong: (options: BuiltInRewardOptions = {}): Reward =>
    defineReward({ name: "overlong", score: ({ completion }) => overlongReward(completion.tokenIds.length, options) }),
} as const;

export type BuiltInRewardName = keyof typeof builtInRewards;

function rating(name: string, options: BuiltInRewardOptions, formula: (groups: readonly RatedGroup[]) => GroupRewards) {
  return {
    name,
    row: ratedRow,
    scoreBatch: (batch: ScoreBatchContext<RatedRow>) => formula(scoredGroups(batch, options)),
  };
}

function comparing(
  name: string,
  options: BuiltInRewardOptions,
  formula: (groups: readonly ComparedGroup[]) => GroupRewards,
) {
  // With labels to be had from the model itself, rows need none.
  const labelled = withQuirks(options).preference !== "majority_vote";
  const row: z.ZodType<ComparedRow> = labelled ? ratedRow : unlabelledRow;
  return {
    name,
    row,
    minimumPrompts: 2,
    scoreBatch: (batch: ScoreBatchContext<ComparedRow>) => formula(scoredGroups(batch, options)),
  };
}

function scoredGroups<Row extends ComparedRow>(batch: ScoreBatchContext<Row>, options: BuiltInRewardOptions) {
  const chosen = withQuirks(options);
  return batch.groups.map(({ row, completions }, prompt) => ({
    ...row,
    scores: completions.map(
      ({ text, index }) =>
        parseScore(text, chosen).score ?? unreadableScore(chosen, { step: batch.step ?? 0, prompt, sample: index }),
    ),
  }));
}

/** Prompts as the formulas see them; those whose row has no data set or no opinion score are left out. */
export function ratedGroupsOf(groups: readonly RewardGroup[], parse: ParseOptions = {}): RatedGroup[] {
  return groups.flatMap(({ prompt, completions }) => {
    const row = ratedRow.safeParse(prompt.row);
    if (!row.success) return [];
    return [{ ...row.data, scores: completions.map(({ text }) => parseScore(text, parse).score) }];
  });
}
