/**
 * What became of rewards and advantages when completions were scored again.
 *
 * @module
 */
import { mean, plcc } from "../../stats/index.js";

/** Before: as recorded. After: as scored again. */
export interface Change<T> {
  readonly before: T;
  readonly after: T;
}

/** One completion, both times. */
export interface ReplayedCompletion {
  readonly row: string;
  /** Position among the prompts of the step, and among the completions of the prompt. */
  readonly prompt: number;
  readonly sample: number;
  /** Weighted sum; null where nothing could judge. */
  readonly reward: Change<number | null>;
  /** By name, before weighting. */
  readonly rewards: Change<Readonly<Record<string, number | null>>>;
  readonly advantage: Change<number>;
}

/** Counts over some completions. */
export interface ReplayCounts {
  readonly completions: number;
  /** Mean over the completions that were judged; null where none was. */
  readonly reward: Change<number | null>;
  /** Completions with another reward, however little. */
  readonly rewardsChanged: number;
  /** Completions with another advantage, however little. */
  readonly advantagesChanged: number;
  /** Advantages that changed from encouraging to discouraging or back. */
  readonly flipped: number;
  /** Advantages that are 0 now and were not, and the other way round. */
  readonly silenced: number;
  readonly awakened: number;
  /** Pearson correlation of the advantages; null where either are all alike. */
  readonly correlation: number | null;
}

/** Whether an advantage changed its sign; from or to 0 is no such change. */
export function flips({ advantage }: Pick<ReplayedCompletion, "advantage">): boolean {
  return Math.sign(advantage.before) === -Math.sign(advantage.after) && advantage.before !== 0;
}

/** Whether nothing changed by a single bit: reward, advantage, and every reward that was paid both times. */
export function isSame({ reward, rewards, advantage }: ReplayedCompletion): boolean {
  return (
    reward.before === reward.after &&
    advantage.before === advantage.after &&
    Object.entries(rewards.before).every(([name, value]) => !(name in rewards.after) || rewards.after[name] === value)
  );
}

/** Counts the changes. */
export function countChanges(completions: readonly ReplayedCompletion[]): ReplayCounts {
  const count = (is: (one: ReplayedCompletion) => boolean): number => completions.filter(is).length;
  const rewardsOf = (side: keyof Change<unknown>): number | null =>
    mean(completions.map(({ reward }) => reward[side]).filter((value) => value !== null));
  return {
    completions: completions.length,
    reward: { before: rewardsOf("before"), after: rewardsOf("after") },
    rewardsChanged: count(({ reward }) => reward.before !== reward.after),
    advantagesChanged: count(({ advantage }) => advantage.before !== advantage.after),
    flipped: count(flips),
    silenced: count(({ advantage }) => advantage.before !== 0 && advantage.after === 0),
    awakened: count(({ advantage }) => advantage.before === 0 && advantage.after !== 0),
    correlation: plcc(
      completions.map(({ advantage }) => advantage.before),
      completions.map(({ advantage }) => advantage.after),
    ),
  };
}
