/**
 * The completions of a step and what they earned; with dynamic sampling, groups that teach nothing are drawn again first.
 *
 * The same prompts are drawn again, under the next number of the draw, and not other prompts as in DAPO (arXiv 2503.14476)
 * and verl: so the rows of every step stay a function of the seed, and a run has the steps it was planned with.
 *
 * @module
 */
import { flatGroups } from "../advantages/index.js";
import type { EarnedRewards } from "../advantages/index.js";
import type { Row } from "../data/index.js";
import type { Prompt, RolloutGroup } from "../policy/index.js";
import { scoreRewards } from "../rewards/index.js";
import type { ScoredRewards } from "../rewards/index.js";
import type { GrpoObjective, GrpoObserver } from "./grpo.js";

/** A rollout batch, scored. */
export interface Rollout {
  /** [P] */
  readonly groups: readonly RolloutGroup<Row>[];
  readonly scored: ScoredRewards;
  /** Prompts whose advantages are all 0, rising. */
  readonly flat: readonly number[];
  /** Times that groups were drawn again, groups drawn in all of them, and prompts that were flat at first and no longer are. */
  readonly tries: number;
  readonly redrawn: number;
  readonly refilled: number;
}

/** @param rollout number of the rollout batch, 1-based: part of every random draw */
export async function rollOut(
  { policy, rewards, samples, advantages, tries: most, signal }: GrpoObjective,
  rollout: number,
  prompts: readonly Prompt<Row>[],
  observer: Pick<GrpoObserver, "onProgress" | "onRollout" | "onRewards">,
): Promise<Rollout> {
  const attempt = async (asked: readonly Prompt<Row>[], number: number): Promise<RolloutGroup<Row>[]> => {
    const groups = await policy.generate(asked, {
      samples,
      step: rollout,
      attempt: number,
      onProgress: (progress) => observer.onProgress(progress),
      ...(signal && { signal }),
    });
    observer.onRollout(groups);
    return groups;
  };
  // All of it each time: a reward may compare a group with the others.
  const score = async (groups: readonly RolloutGroup<Row>[]): Promise<ScoredRewards> => {
    const scored = await scoreRewards(groups, rewards, { step: rollout, ...(signal && { signal }) });
    observer.onRewards();
    return scored;
  };

  let groups = await attempt(prompts, 0);
  let scored = await score(groups);
  let flat = flatGroups(scored, advantages);
  const first = flat;
  let tries = 0;
  let redrawn = 0;
  while (flat.length > 0 && tries < most) {
    tries += 1;
    redrawn += flat.length;
    const again = await attempt(
      flat.map((prompt) => prompts[prompt]!),
      tries,
    );
    groups = groups.map((group, prompt) => again[flat.indexOf(prompt)] ?? group);
    scored = await score(groups);
    flat = flatGroups(scored, advantages);
  }
  const refilled = first.filter((prompt) => !flat.includes(prompt)).length;
  return { groups, scored, flat, tries, redrawn, refilled };
}

/** The part of a rollout batch that is trained on, and what it earned. */
export interface KeptRollout<Group = RolloutGroup<Row>> {
  readonly groups: readonly Group[];
  readonly earned: EarnedRewards;
}

/**
 * Leaves out the prompts that teach nothing, where that is asked for, as DAPO does; what comes after normalises over the
 * others. A prompt stays for each update in any case: the first of those that teach nothing make them up.
 */
export function keptOf<Group>(
  { groups, scored, flat }: Pick<Rollout, "scored" | "flat"> & { readonly groups: readonly Group[] },
  { dropZeroVariance, updates }: Pick<GrpoObjective, "dropZeroVariance" | "updates">,
): KeptRollout<Group> {
  if (!dropZeroVariance) return { groups, earned: scored };
  const spared = flat.slice(0, Math.max(0, updates - (groups.length - flat.length)));
  const keep = <T>(ofPrompts: readonly T[]): T[] =>
    ofPrompts.filter((_, prompt) => !flat.includes(prompt) || spared.includes(prompt));
  const breakdown = Object.entries(scored.breakdown).map(([name, values]) => [name, keep(values)] as const);
  return {
    groups: keep(groups),
    earned: { totals: keep(scored.totals), breakdown: Object.fromEntries(breakdown), weights: scored.weights },
  };
}

/** @returns [P][G] of all groups: those of the groups that were kept, and 0 for the others */
export function spreadAdvantages<Group extends { readonly completions: readonly unknown[] }>(
  groups: readonly Group[],
  kept: readonly Group[],
  advantages: readonly (readonly number[])[],
): number[][] {
  return groups.map((group) => [...(advantages[kept.indexOf(group)] ?? group.completions.map(() => 0))]);
}
