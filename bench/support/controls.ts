/**
 * Controls: rewards from which nothing can be learnt about the order of pictures. Where a model ranks better after them than
 * before, the rise of the other runs is not the reward's doing.
 *
 * @module
 */
import { createRandomStream } from "../../src/data/distortions/random-stream.js";
import { defineReward, scoreRewards } from "../../src/rewards/index.js";
import type { Reward, RewardRecord, ScoreBatchContext } from "../../src/rewards/index.js";
import { foldKey, shuffle } from "../../src/stats/index.js";

/** Keeps the draws of controls apart from those of a run with the same seed. */
const STREAM = { rewards: 101, noise: 102, labelsOnce: 103, labelsEachStep: 104 } as const;

/** A control that draws. */
export interface ControlOptions {
  /** Names it in metrics. */
  readonly name: string;
  /** Names the draws; each step has its own. */
  readonly seed: number;
}

/** A control made out of real rewards. */
export interface RewardControlOptions extends ControlOptions {
  /** What is computed before it is made worthless. */
  readonly rewards: RewardRecord;
}

/** A labelled row, as data files give it. */
export interface LabelledRow {
  readonly dataset: string;
  readonly mos: number;
  readonly source: { readonly file: number; readonly line: number };
}

type Batch = ScoreBatchContext<Readonly<Record<string, unknown>>>;

/** The real totals of a step, dealt out anew among all its completions: the same values, for other answers. */
export function permutedRewards({ name, seed, rewards }: RewardControlOptions): Reward {
  return defineReward({
    name,
    scoreBatch: async (batch) => {
      const totals = await totalsOf(batch, rewards);
      const dealt = shuffle(totals.flat(), foldKey(seed, STREAM.rewards, batch.step ?? 0));
      let at = 0;
      return totals.map((group) => dealt.slice(at, (at += group.length)));
    },
  });
}

/** A standard normal number for every completion, whatever it says. */
export function gaussianReward({ name, seed }: ControlOptions): Reward {
  return defineReward({
    name,
    scoreBatch: ({ groups, step }) => {
      const { normal } = createRandomStream(foldKey(seed, STREAM.noise, step ?? 0));
      return groups.map(({ completions }) => completions.map(() => normal()));
    },
  });
}

/**
 * Real rewards on labels that were exchanged once among the rows of each data set: an order that can be learnt by heart, but
 * that the pictures do not show.
 *
 * @param options.rows all rows of the run
 */
export function labelsPermutedOnce(options: RewardControlOptions & { readonly rows: readonly LabelledRow[] }): Reward {
  const { name, seed, rewards, rows } = options;
  const key = foldKey(seed, STREAM.labelsOnce);
  const exchanged = new Map(exchangeLabels(rows, key).map((row) => [placeOf(row.source), row.mos]));
  return relabelled({ name, rewards }, ({ groups }) =>
    groups.map(({ row }) => {
      const mos = exchanged.get(placeOf(row["source"] as LabelledRow["source"]));
      if (mos === undefined) throw new Error(`${name}: a row of the step is none of the rows the labels came from.`);
      return mos;
    }),
  );
}

/** Real rewards on labels that are exchanged within each step anew: no order holds for two steps. */
export function labelsPermutedEachStep({ name, seed, rewards }: RewardControlOptions): Reward {
  return relabelled({ name, rewards }, ({ groups, step }) => {
    const rows = groups.map(({ row }) => row as unknown as LabelledRow);
    return exchangeLabels(rows, foldKey(seed, STREAM.labelsEachStep, step ?? 0)).map(({ mos }) => mos);
  });
}

/** The rows with their labels exchanged within each data set. */
export function exchangeLabels<R extends Pick<LabelledRow, "dataset" | "mos">>(rows: readonly R[], key: bigint): R[] {
  const labels = new Map(
    [...new Set(rows.map(({ dataset }) => dataset))].map((dataset, index) => {
      const own = rows.filter((row) => row.dataset === dataset).map(({ mos }) => mos);
      return [dataset, shuffle(own, foldKey(key, index))];
    }),
  );
  return rows.map((row) => ({ ...row, mos: labels.get(row.dataset)!.pop()! }));
}

function relabelled(
  { name, rewards }: Pick<RewardControlOptions, "name" | "rewards">,
  labelsOf: (batch: Batch) => readonly number[],
): Reward {
  return defineReward({
    name,
    scoreBatch: (batch) => {
      const labels = labelsOf(batch);
      const groups = batch.groups.map((group, index) => ({ ...group, row: { ...group.row, mos: labels[index]! } }));
      return totalsOf({ ...batch, groups }, rewards);
    },
  });
}

async function totalsOf({ groups, ...circumstances }: Batch, rewards: RewardRecord) {
  const { totals } = await scoreRewards(
    groups.map(({ row, completions }) => ({ prompt: { row }, completions })),
    rewards,
    circumstances,
  );
  return totals;
}

function placeOf({ file, line }: LabelledRow["source"]): string {
  return `${file}:${line}`;
}
