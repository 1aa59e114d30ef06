/**
 * The rewards that need no code: known by name in configurations and records.
 *
 * @module
 */

import { z } from "zod";
import { defineReward, type Reward, type ScoreBatchContext } from "./define.js";
import { formatReward, type FormatOptions } from "./format.js";
import { overlongReward, type OverlongOptions } from "./overlong.js";
import type { GroupRewards, RatedGroup } from "./pairs.js";
import { parseScore, type ParseOptions } from "./parse.js";
import { binary, constantAnswerReward, fidelity, margin, winProbability, type FidelityOptions } from "./ranking.js";
import { regression, threshold, type ThresholdOptions } from "./rating.js";
import { withQuirks } from "./reference-quirks.js";
import type { RewardGroup } from "./score.js";
import { unreadableScore, type UnreadableOptions } from "./unreadable.js";

/** Options of all built-in rewards; each takes those that concern it. */
export interface BuiltInRewardOptions
  extends ParseOptions, FormatOptions, FidelityOptions, OverlongOptions, ThresholdOptions, UnreadableOptions {}

/** The columns a rating reward needs. */
const ratedRow = z.object({
  dataset: z.string(),
  mos: z.number(),
  mosStd: z.number().nonnegative().optional(),
});
type RatedRow = z.output<typeof ratedRow>;

/** The built-in rewards by name. */
export const builtInRewards = {
  format: (options: BuiltInRewardOptions = {}): Reward =>
    defineReward({ name: "format", score: ({ completion }) => formatReward(completion.text, options) }),
  fidelity: (options: BuiltInRewardOptions = {}): Reward =>
    defineReward({
      ...comparing("fidelity", options, (groups) => fidelity(groups, options)),
      constantAnswer: (batch) => constantAnswerReward(ratedGroups(batch, options), options),
    }),
  win_probability: (options: BuiltInRewardOptions = {}): Reward =>
    defineReward(comparing("win_probability", options, (groups) => winProbability(groups, options))),
  binary: (options: BuiltInRewardOptions = {}): Reward =>
    defineReward(comparing("binary", options, (groups) => binary(groups, options))),
  margin: (options: BuiltInRewardOptions = {}): Reward =>
    defineReward(comparing("margin", options, (groups) => margin(groups, options))),
  threshold: (options: BuiltInRewardOptions = {}): Reward =>
    defineReward(rating("threshold", options, (groups) => threshold(groups, options))),
  regression: (options: BuiltInRewardOptions = {}): Reward =>
    defineReward(rating("regression", options, (groups) => regression(groups))),
  overlong: (options: BuiltInRewardOptions = {}): Reward =>
    defineReward({ name: "overlong", score: ({ completion }) => overlongReward(completion.tokenIds.length, options) }),
} as const;

export type BuiltInRewardName = keyof typeof builtInRewards;

type Formula = (groups: readonly RatedGroup[]) => GroupRewards;

function rating(name: string, options: BuiltInRewardOptions, formula: Formula) {
  return {
    name,
    row: ratedRow,
    scoreBatch: (batch: ScoreBatchContext<RatedRow>) => formula(ratedGroups(batch, options)),
  };
}

function comparing(name: string, options: BuiltInRewardOptions, formula: Formula) {
  return { ...rating(name, options, formula), minimumPrompts: 2 };
}

function ratedGroups(batch: ScoreBatchContext<RatedRow>, options: BuiltInRewardOptions): RatedGroup[] {
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
