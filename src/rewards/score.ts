/**
 * Scoring the completions of a step: every reward, its own scope, one weighted total.
 *
 * @module
 */

import { setMaxListeners } from "node:events";
import { setImmediate, setTimeout } from "node:timers/promises";
import type { RewardAttachment } from "./attachments.js";
import type { Sleep } from "./calls.js";
import { combineRewards, type RewardList, type RewardRecord, type RewardSet, type WeightedReward } from "./combine.js";
import type { RewardCompletion, RewardValue, ScoreBatchContext } from "./define.js";
import { evaluateReward } from "./evaluate.js";
import { parseScore, type ParseOptions, type ParseStatus } from "./parse.js";
import { validateRows } from "./rows.js";

/** A prompt with its completions; the rollout groups of a policy fit. */
export interface RewardGroup {
  readonly prompt: { readonly row: unknown };
  /** [G] */
  readonly completions: readonly Omit<RewardCompletion, "index">[];
}

export interface ScoreRewardsOptions {
  /** Rollout batch, 1-based; named in errors. */
  readonly step?: number;
  /** Stops waiting: the call rejects with the signal's reason. */
  readonly signal?: AbortSignal;
  /** How answers are read for `parse`; rewards have their own options. */
  readonly parse?: ParseOptions;
  /** Clock in milliseconds. Default: performance.now. */
  readonly now?: () => number;
  /** How time passes for `timeoutMs` and `backoffMs` of a reward. Default: Node's timers. */
  readonly sleep?: Sleep;
}

/** P prompts, G completions of each. */
export interface ScoredRewards {
  /** [P][G] weighted sums over the rewards that could judge; null where none that counts could: no advantage there. */
  readonly totals: RewardValue[][];
  /** [P][G] by reward, before weighting. */
  readonly breakdown: Readonly<Record<string, RewardValue[][]>>;
  /** By reward. */
  readonly weights: Readonly<Record<string, number>>;
  /** [P][G] whether a score could be read. */
  readonly parse: ParseStatus[][];
  /** Completions without a total. */
  readonly missing: number;
  /** What a model would earn that always answers the same, by reward; null where a reward cannot say (fidelity can). */
  readonly constantAnswers: Readonly<Record<string, number | null>>;
  /** [P][G] by reward: what is to be recorded with a completion. Rewards that attached nothing are absent. */
  readonly attachments: Readonly<Record<string, (RewardAttachment | null)[][]>>;
  /** Wall seconds by reward. Those that wait for something run side by side, so their times overlap. */
  readonly seconds: Readonly<Record<string, number>>;
}

/**
 * @param groups [P] in the order of the step
 * @param rewards a set, or what `combineRewards` takes
 * @throws RewardError naming the reward, the step, the row and the sample; the first one ends the others' signal
 */
export async function scoreRewards(
  groups: readonly RewardGroup[],
  rewards: RewardSet | RewardRecord | RewardList,
  options: ScoreRewardsOptions = {},
): Promise<ScoredRewards> {
  const { signal, parse, now = () => performance.now(), sleep = wait } = options;
  signal?.throwIfAborted();
  const set = isSet(rewards) ? rewards : combineRewards(rewards);
  const completions = groups.map((group) => group.completions.map((completion, index) => ({ ...completion, index })));
  const abandon = new AbortController();
  // Every completion of a step may listen to it at once, which is no leak.
  setMaxListeners(0, abandon.signal);
  const abandoned = new Promise<never>((_, reject) => {
    abandon.signal.addEventListener("abort", () => reject(abandon.signal.reason as Error), { once: true });
  });
  const onAbort = (): void => abandon.abort(signal?.reason);

  const scoreOne = async (weighted: WeightedReward) => {
    const started = now();
    const place = { reward: weighted.name, step: options.step };
    const rows = await validateRows(
      groups.map(({ prompt }) => prompt.row),
      weighted.reward.row,
      place,
    );
    const batch: ScoreBatchContext<never> = {
      groups: rows.map(({ row }, prompt) => ({ row: row as never, completions: completions[prompt]! })),
      signal: abandon.signal,
      ...(options.step !== undefined && { step: options.step }),
    };
    const rowIds = rows.map(({ id }) => id);
    const evaluated = await evaluateReward(weighted.reward, batch, { ...place, rowIds }, sleep);
    const constantAnswer = weighted.reward.constantAnswer?.(batch) ?? null;
    return { ...evaluated, constantAnswer, seconds: (now() - started) / 1000 };
  };

  try {
    signal?.addEventListener("abort", onAbort, { once: true });
    const running: ReturnType<typeof scoreOne>[] = [];
    for (const weighted of set) {
      // One that never waits ends before the next begins, so its time is its own.
      const started = scoreOne(weighted);
      running.push(started);
      await Promise.race([started, setImmediate(), abandoned]);
    }
    const scored = await Promise.race([Promise.all(running), abandoned]);
    const totals = groups.map((group, prompt) =>
      group.completions.map((_, sample) =>
        total(
          set,
          scored.map(({ values }) => values[prompt]![sample]!),
        ),
      ),
    );
    const byName = <T>(of: (one: (typeof scored)[number]) => T): Record<string, T> =>
      Object.fromEntries(set.map(({ name }, index) => [name, of(scored[index]!)]));
    return {
      totals,
      breakdown: byName(({ values }) => values),
      weights: Object.fromEntries(set.map(({ name, weight }) => [name, weight])),
      parse: groups.map((group) => group.completions.map(({ text }) => parseScore(text, parse).status)),
      missing: totals.flat().filter((value) => value === null).length,
      attachments: Object.fromEntries(
        set.flatMap(({ name }, index) => {
          const { attachments } = scored[index]!;
          return attachments === undefined ? [] : [[name, attachments]];
        }),
      ),
      constantAnswers: byName(({ constantAnswer }) => constantAnswer),
      seconds: byName(({ seconds }) => seconds),
    };
  } finally {
    signal?.removeEventListener("abort", onAbort);
    abandon.abort();
  }
}

const wait: Sleep = (milliseconds, signal) => setTimeout(milliseconds, undefined, { signal });

function isSet(rewards: RewardSet | RewardRecord | RewardList): rewards is RewardSet {
  if (!Array.isArray(rewards) || rewards.length === 0) return false;
  return rewards.every((entry) => typeof entry === "object" && "name" in entry && "weight" in entry);
}

/** A reward that cannot judge abstains: the others decide. Null when all that count abstain. */
function total(set: RewardSet, values: readonly RewardValue[]): RewardValue {
  const counted = set.map(({ weight }) => weight !== 0);
  if (!values.some((value, index) => counted[index] && value !== null)) return counted.includes(true) ? null : 0;
  return set.reduce((sum, { weight }, index) => sum + (counted[index] ? weight * (values[index] ?? 0) : 0), 0);
}
