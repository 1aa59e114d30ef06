/**
 * One call for every estimator: from what the completions of a step earned to what each is worth.
 *
 * @module
 */

import { gdpoAdvantages } from "./gdpo.js";
import { groupAdvantages, type GroupAdvantageOptions } from "./group.js";
import type { Rewards } from "./known.js";
import { leaveOneOutAdvantages, type LeaveOneOutOptions } from "./leave-one-out.js";
import { passAtKAdvantages, type PassAtKOptions } from "./pass-at-k.js";
import { reinforcePlusPlusAdvantages } from "./reinforce-plus-plus.js";

/** What of scored rewards an estimator looks at; the result of `scoreRewards` fits. */
export interface EarnedRewards {
  /** [P][G] weighted sums; null where nothing could judge. */
  readonly totals: Rewards;
  /** [P][G] by reward, before weighting; only `gdpo` looks at them. */
  readonly breakdown: Readonly<Record<string, Rewards>>;
  /** Weight of each reward. */
  readonly weights: Readonly<Record<string, number>>;
}

/** An estimator and its options. Default: `group`, divided by the standard deviation of the group. */
export type AdvantageOptions =
  | ({ readonly estimator?: "group" } & GroupAdvantageOptions)
  | ({ readonly estimator: "rloo" } & LeaveOneOutOptions)
  | { readonly estimator: "reinforce_plus_plus_baseline" }
  | { readonly estimator: "gdpo" }
  | ({ readonly estimator: "pass_at_k" } & PassAtKOptions);

/**
 * @param earned of all prompts of the step
 * @returns [P][G] advantages; 0 for a completion that nothing could judge, which is left out of means and deviations
 */
export function advantagesOf(earned: EarnedRewards, options: AdvantageOptions = {}): number[][] {
  const { totals, breakdown, weights } = earned;
  switch (options.estimator) {
    case "rloo":
      return leaveOneOutAdvantages(totals, options);
    case "reinforce_plus_plus_baseline":
      return reinforcePlusPlusAdvantages(totals);
    case "gdpo":
      return gdpoAdvantages(breakdown, { weights });
    case "pass_at_k":
      return passAtKAdvantages(totals, options);
    default:
      return groupAdvantages(totals, options);
  }
}

/**
 * Groups that teach nothing: every advantage is 0. Mostly all completions earned the same; with `pass_at_k` also where
 * every k of them hold a best one.
 *
 * @returns indices of their prompts, rising
 */
export function flatGroups(earned: EarnedRewards, options: AdvantageOptions = {}): number[] {
  return advantagesOf(earned, options).flatMap((group, prompt) =>
    group.every((advantage) => advantage === 0) ? [prompt] : [],
  );
}
