/**
 * Which rows each batch takes, as places in a table: a pure function of the settings and the batch's number.
 *
 * In epoch e a set that gives n rows to an epoch completes floor(n e / P) - floor(n (e - 1) / P) batches of P rows; the
 * batches of all sets that an epoch completes come in a seeded order, so that larger sets come more often and every set is
 * spread over the epoch. Rows that one epoch leaves over begin the next epoch's first batch.
 *
 * @module
 */
import { countBatches, drawsPerEpoch } from "../../config/index.js";
import type { DatasetPlan, OrderCounts, OrderKeys } from "../../config/index.js";
import { DataError } from "../../errors.js";
import { foldKey, seedStreams } from "../../stats/index.js";
import { createPasses } from "./passes.js";
import { createRowStream } from "./row-stream.js";
import { createSchedule } from "./schedule.js";
import { allRows, createBatchSet, datasetsOf, groupsOf, MIXED, passOptions } from "./sets.js";
import type { BatchSet, RowSet, SetSettings } from "./sets.js";
import { createShares } from "./shares.js";
import type { OrderTable } from "./table.js";

export interface OrderSettings extends SetSettings {
  readonly mixed: boolean;
  readonly weights: OrderKeys["dataset_weights"];
  /** Passes over the data; null where the caller decides when to end. */
  readonly epochs: number | null;
}

export interface RowOrder {
  /** Batches, data sets and rows left over; batches without end where `epochs` is null. */
  readonly counts: OrderCounts;
  /** Rows by set that fill no batch. */
  readonly leftOver: Readonly<Record<string, number>>;
  /** @param step from 1; at most as many as there are batches */
  at(step: number): { readonly epoch: number; readonly places: readonly number[] };
}

/** @throws DataError, ConfigError for what cannot be promised */
export function createOrder(table: OrderTable, settings: OrderSettings): RowOrder {
  const datasets = datasetsOf(table);
  const sources = settings.mixed ? [allRows(table)] : datasets;
  requireRows(sources, settings);
  if (settings.mixed && settings.weights !== "proportional") return orderByShares(table, datasets, settings);
  const { groups } = settings;
  const parts = groups === "one" ? sources.flatMap((set) => groupsOf(table, set)) : sources;
  if (groups === "one") requireRows(parts, settings);
  return orderBySets(
    datasets,
    parts.map((set) => createBatchSet(table, set, settings)),
    settings,
  );
}

/** Every batch comes from one set. */
function orderBySets(
  datasets: readonly RowSet[],
  sets: readonly BatchSet[],
  { seed, size, shuffle, epochs, weights, mixed }: OrderSettings,
): RowOrder {
  const usable = sumByName(sets, (set) => sets[set]!.usable);
  const draws = mixed ? usable : drawsPerEpoch(usable, weights);
  const planned = sets.map((set) => {
    const rowsPerEpoch =
      draws[set.name] === usable[set.name] ? set.usable : (set.usable * draws[set.name]!) / usable[set.name]!;
    if (epochs === null) return { rowsPerEpoch, limit: Infinity, leftOver: 0 };
    const { batches, leftOver } = countBatches({ rows: rowsPerEpoch, epochs, promptsPerStep: size });
    // What never gets into a pass is left over by each of them.
    const unfit = Math.floor((set.rows.length - set.usable) * epochs);
    return { rowsPerEpoch, limit: batches, leftOver: leftOver + unfit };
  });
  const slotOf = createSchedule({
    sets: planned,
    promptsPerStep: size,
    keyOf: shuffle ? (epoch) => foldKey(seed, seedStreams.order, epoch) : null,
  });
  const leftOver = sumByName(sets, (set) => planned[set]!.leftOver);
  const batches = sumByName(sets, (set) => planned[set]!.limit);
  return {
    counts: {
      datasets: datasets.map(({ name, rows }): DatasetPlan => {
        const rollouts = epochs === null ? null : (batches[name] ?? null);
        return { name, rows: rows.length, rollouts, leftOver: leftOver[name] ?? 0 };
      }),
      batches: planned.reduce((total, { limit }) => total + limit, 0),
      leftOver: leftOver[MIXED] ?? 0,
    },
    leftOver,
    at(step) {
      const { set, ordinal, epoch } = slotOf(step);
      return { epoch, places: sets[set]!.batch(ordinal) };
    },
  };

  function sumByName(of: readonly RowSet[], value: (set: number) => number): Record<string, number> {
    const sums: Record<string, number> = {};
    for (const [set, { name }] of of.entries()) sums[name] = (sums[name] ?? 0) + value(set);
    return sums;
  }
}

/** Every batch has its share of each data set; the rows of one stand next to each other. */
function orderByShares(table: OrderTable, datasets: readonly RowSet[], settings: OrderSettings): RowOrder {
  const { seed, size, epochs } = settings;
  const draws = drawsPerEpoch(
    Object.fromEntries(datasets.map(({ name, rows }) => [name, rows.length])),
    settings.weights,
  );
  const count = (passes: number): { readonly batches: number; readonly leftOver: number } =>
    countBatches({ rows: table.length, epochs: passes, promptsPerStep: size });
  const shares = createShares({
    weights: datasets.map(({ name }) => draws[name]!),
    size,
    completed: (passes) => count(passes).batches,
    keyOf: settings.shuffle ? (epoch) => foldKey(seed, seedStreams.order, epoch) : null,
  });
  const streams = datasets.map((set, number) => {
    const most = shares.most[number]!;
    if (set.rows.length < 2 * most) throw shareTooLarge(set, most);
    const { ordered } = createPasses(passOptions(table, set, settings));
    return createRowStream({ rows: set.rows.length, size: most, draws: "any", passes: ordered });
  });
  const { batches, leftOver } = epochs === null ? { batches: Infinity, leftOver: 0 } : count(epochs);
  return {
    counts: {
      datasets: datasets.map(({ name, rows }) => ({ name, rows: rows.length, rollouts: null, leftOver: 0 })),
      batches,
      leftOver,
    },
    leftOver: { [MIXED]: leftOver },
    at(step) {
      // floor(n e / P) >= step for the first time at this e.
      const epoch = Math.ceil((step * size) / table.length);
      const drawn = shares.draws(epoch, step - 1 - count(epoch - 1).batches);
      const places = drawn.flatMap(({ from, count: rows }, set) =>
        streams[set]!(from, rows).map((row) => datasets[set]!.rows[row]!),
      );
      return { epoch, places };
    },
  };
}

function requireRows(sets: readonly RowSet[], { size, mixed, groups }: OrderSettings): void {
  const small = sets.filter((set) => set.rows.length < size);
  if (small.length === 0 && sets.length > 0) return;
  const found = small.map(({ name, group, rows }) =>
    group === null ? `"${name}" has ${rows.length} rows` : `"${name}", group "${group}", has ${rows.length} rows`,
  );
  const none = sets.every(({ rows }) => rows.length === 0);
  const subject = none
    ? "There are no rows"
    : mixed
      ? `There are ${small[0]!.rows.length} rows`
      : `Data set ${list(found)}`;
  const of = mixed ? "" : groups === "one" ? " of one group" : " of one data set";
  throw new DataError(
    "DATA_TOO_FEW_ROWS",
    `${subject}, and a batch takes prompts_per_step (${size}) different rows${of}. Lower prompts_per_step, or add rows.`,
    {
      fields: { promptsPerStep: size, rows: Object.fromEntries(sets.map((set) => [set.name, set.rows.length])) },
    },
  );
}

/** Groups may be many. */
function list(found: readonly string[]): string {
  const shown = found.slice(0, 5).join(", ");
  return found.length <= 5 ? shown : `${shown} and ${found.length - 5} more`;
}

function shareTooLarge({ name, rows }: RowSet, most: number): DataError {
  return new DataError(
    "DATA_TOO_FEW_ROWS",
    `Data set "${name}" has ${rows.length} rows and, as dataset_weights says, gives up to ${most} of them to each batch, which takes at least ${2 * most}. Lower its weight or prompts_per_step, or add rows.`,
    { fields: { dataset: name, rows: rows.length, most } },
  );
}
