/**
 * What batches are drawn from: a data set, a group of it, or all rows together, each with the order of its rows.
 *
 * @module
 */
import { DataError } from "../../errors.js";
import { foldKey, seedStreams } from "../../stats/index.js";
import { textKey } from "../text-key.js";
import { createApartOrder } from "./apart.js";
import { keepLatest } from "./latest.js";
import { createPasses } from "./passes.js";
import type { PassOptions, PassOrders } from "./passes.js";
import { createRowStream } from "./row-stream.js";
import type { OrderTable } from "./table.js";
import { createTogetherOrder } from "./together.js";

/** The name of all rows together. */
export const MIXED = "all rows";

export interface SetSettings {
  readonly seed: number;
  /** Rows of a batch. */
  readonly size: number;
  readonly groups: "any" | "one" | "together" | "apart";
  readonly shuffle: boolean;
  /** Leave out of each pass what fills no batch. */
  readonly dropLast: boolean;
  readonly curriculum: { readonly descending: boolean; readonly mix: number } | null;
}

/** Rows that batches are drawn from. */
export interface RowSet {
  /** Of the data set; MIXED for all rows. */
  readonly name: string;
  /** Name of the group, where the set is one. */
  readonly group: string | null;
  /** Places in the table. */
  readonly rows: Uint32Array;
}

/** A set whose batches hold its rows only. */
export interface BatchSet extends RowSet {
  /** Rows that a pass can use. */
  readonly usable: number;
  /** @returns places in the table of a batch's rows; batches are counted from 0 over all passes */
  batch(ordinal: number): number[];
}

/** Data sets by name. */
export function datasetsOf(table: OrderTable): RowSet[] {
  return table.datasets
    .map((name, number) => ({ name, group: null, rows: placesOf(table.dataset, number) }))
    .toSorted((a, b) => (a.name < b.name ? -1 : 1));
}

/** All rows together. */
export function allRows(table: OrderTable): RowSet {
  return { name: MIXED, group: null, rows: Uint32Array.from({ length: table.length }, (_, place) => place) };
}

/** Groups of a data set, in the order in which they first appear. */
export function groupsOf(table: OrderTable, { name, rows }: RowSet): RowSet[] {
  const members = new Map<number, number[]>();
  for (const place of rows) {
    const group = table.group[place]!;
    const known = members.get(group);
    if (known === undefined) members.set(group, [place]);
    else known.push(place);
  }
  if (members.has(-1)) {
    throw new DataError(
      "DATA_ROW_WITHOUT_GROUP",
      `batch_groups is "one", and ${members.get(-1)!.length} rows of data set "${name}" have no group, so that no batch can be made of theirs. Give them a group, or choose another batch_groups.`,
      { fields: { dataset: name, rows: members.get(-1)!.length } },
    );
  }
  return [...members].map(([group, places]) => ({
    name,
    group: table.groups[group]!,
    rows: Uint32Array.from(places),
  }));
}

function placesOf(column: Uint32Array, wanted: number): Uint32Array {
  let count = 0;
  for (const value of column) if (value === wanted) count += 1;
  const places = new Uint32Array(count);
  let found = 0;
  for (const [place, value] of column.entries()) if (value === wanted) places[found++] = place;
  return places;
}

/** Names the draws of a set. */
function keyOf({ name, group }: RowSet, seed: number): (pass: number) => bigint {
  const parts = group === null ? [textKey(name)] : [textKey(name), textKey(group)];
  return (pass) => foldKey(seed, seedStreams.order, pass + 1, ...parts);
}

/** How passes go over a set. */
export function passOptions(table: OrderTable, set: RowSet, settings: SetSettings): PassOptions {
  const { curriculum } = settings;
  return {
    rows: set.rows.length,
    keyOf: settings.shuffle ? keyOf(set, settings.seed) : null,
    curriculum:
      curriculum === null || table.curriculum === null
        ? null
        : { ...curriculum, values: Float64Array.from(set.rows, (place) => table.curriculum![place]!) },
  };
}

/** @throws DataError where groups cannot come into batches as promised */
export function createBatchSet(table: OrderTable, set: RowSet, settings: SetSettings): BatchSet {
  const { size } = settings;
  const options = passOptions(table, set, settings);
  const passes = createPasses(options);
  const placed = (batch: (ordinal: number) => Iterable<number>) => (ordinal: number) =>
    Array.from(batch(ordinal), (row) => set.rows[row]!);

  if (settings.dropLast) {
    const batches = Math.floor(set.rows.length / size);
    return { ...set, usable: batches * size, batch: placed(wholeBatches({ batches, size, passes })) };
  }
  if (settings.groups === "any" || settings.groups === "one") {
    const stream = createRowStream({ rows: set.rows.length, size, draws: "fixed", passes: passes.ordered });
    return { ...set, usable: set.rows.length, batch: placed((ordinal) => stream(ordinal * size, size)) };
  }

  const groups = denseGroups(table, set);
  if (settings.groups === "apart") {
    const order = createApartOrder({ groups, size, passes });
    if (order.batches === 0) throw tooFewGroups(set, groups, size);
    return { ...set, usable: order.batches * size, batch: placed((ordinal) => order.batch(ordinal)) };
  }
  requireGroupsFit(table, set, size);
  const shuffled = settings.curriculum === null ? options.keyOf : null;
  const order = createTogetherOrder({ groups, size, passes, keyOf: shuffled });
  if (order.batches === 0 || order.unused.length > 0) throw unusedGroups(set, order.unused, size);
  return { ...set, usable: order.batches * size, batch: placed((ordinal) => order.batch(ordinal)) };
}

/** Passes of whole batches; which rows are left out is the shuffle's choice, so that a curriculum has no part in it. */
function wholeBatches(options: {
  readonly batches: number;
  readonly size: number;
  readonly passes: PassOrders;
}): (ordinal: number) => Iterable<number> {
  const { batches, size, passes } = options;
  const rowsOf = keepLatest((pass) => {
    const left = new Set(passes.unsorted(pass).subarray(batches * size));
    return passes.ordered(pass).filter((row) => !left.has(row));
  });
  return (ordinal) => {
    const first = (ordinal % batches) * size;
    return rowsOf(Math.floor(ordinal / batches)).subarray(first, first + size);
  };
}

/** Groups numbered from 0 within the set; rows without a group are one each. */
function denseGroups(table: OrderTable, { rows }: RowSet): Uint32Array {
  const numbers = new Map<number, number>();
  let count = 0;
  return rows.map((place) => {
    const group = table.group[place]!;
    const known = group === -1 ? undefined : numbers.get(group);
    if (known !== undefined) return known;
    if (group !== -1) numbers.set(group, count);
    return count++;
  });
}

function inWords(name: string): string {
  return name === MIXED ? "The data" : `Data set "${name}"`;
}

function tooFewGroups({ name, rows }: RowSet, groups: Uint32Array, size: number): DataError {
  const count = new Set(groups).size;
  return new DataError(
    "DATA_TOO_FEW_GROUPS",
    `${inWords(name)} has rows of ${count} groups, and with batch_groups "apart" a batch takes rows of prompts_per_step (${size}) different ones. Lower prompts_per_step, or choose another batch_groups.`,
    { fields: { dataset: name, rows: rows.length, groups: count, promptsPerStep: size } },
  );
}

function requireGroupsFit(table: OrderTable, { name, rows }: RowSet, size: number): void {
  const counts = new Map<number, number>();
  for (const place of rows) counts.set(table.group[place]!, (counts.get(table.group[place]!) ?? 0) + 1);
  for (const [group, count] of counts) {
    if (group === -1 || count <= size) continue;
    throw new DataError(
      "DATA_GROUP_TOO_LARGE",
      `${inWords(name)} has ${count} rows of group "${table.groups[group]}", and with batch_groups "together" they must fit into one batch of prompts_per_step (${size}) rows. Raise prompts_per_step to ${count} or a multiple of it, or choose batch_groups "one", which makes batches of one group each.`,
      { fields: { dataset: name, group: table.groups[group], rows: count, promptsPerStep: size } },
    );
  }
}

function unusedGroups({ name }: RowSet, sizes: readonly number[], size: number): DataError {
  const list = sizes.toSorted((a, b) => a - b).join(", ");
  return new DataError(
    "DATA_GROUPS_DO_NOT_FIT",
    `${inWords(name)} has groups of ${list} rows, and no others are left that would fill a batch of prompts_per_step (${size}) rows with them, so that batch_groups "together" would never use them. Set prompts_per_step to a multiple of the sizes of the groups, or leave these rows out.`,
    { fields: { dataset: name, sizes, promptsPerStep: size } },
  );
}
