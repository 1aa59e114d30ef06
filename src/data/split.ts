/**
 * Holds rows out for evaluation, by content: all rows of a group stay on one side.
 *
 * @module
 */
import { DataError } from "../errors.js";
import { foldKey, seedStreams } from "../stats/index.js";
import { basename } from "node:path";
import type { Row } from "./row.js";
import { textKey } from "./text-key.js";

export interface SplitOptions {
  /** Share of the rows of each data set to hold out, in (0, 1). Whole groups are moved, so it is met as nearly as they allow. */
  readonly ratio: number;
  /** Default 42. */
  readonly seed?: number;
}

/** What of a row the split looks at. */
export type SplitRow = Pick<Row, "id" | "dataset" | "images" | "group" | "source">;

export interface Split<R extends SplitRow = Row> {
  readonly train: R[];
  readonly heldOut: R[];
}

/** Rows keep their order; which side a group falls on depends on its name, the data set's groups and the seed alone. */
export function splitRows<R extends SplitRow>(rows: readonly R[], options: SplitOptions): Split<R> {
  const { ratio, seed = 42 } = options;
  if (!(ratio > 0 && ratio < 1)) {
    throw new DataError("DATA_SPLIT_RATIO", `The share of rows to hold out is ${ratio}; it must lie between 0 and 1.`);
  }
  const datasets = new Set(rows.map((row) => row.dataset));
  const heldOut = new Map([...datasets].map((dataset) => [dataset, chooseGroups(rows, { dataset, ratio, seed })]));
  const isHeldOut = (row: R): boolean => heldOut.get(row.dataset)!.has(contentOf(row));
  return { train: rows.filter((row) => !isHeldOut(row)), heldOut: rows.filter(isHeldOut) };
}

export interface ThreeWaySplitOptions {
  /** Shares of the rows of each data set, each in (0, 1). Default: 0.2 each, which leaves 0.6 for training (6 : 2 : 2). */
  readonly validation?: number;
  readonly test?: number;
  /** Default 42. */
  readonly seed?: number;
}

export interface ThreeWaySplit<R extends SplitRow = Row> {
  readonly train: R[];
  readonly validation: R[];
  readonly test: R[];
}

/** As splitRows, in three: no content is in two parts. KADID-10k's 81 references become 49, 16 and 16. */
export function splitRowsInThree<R extends SplitRow>(
  rows: readonly R[],
  options: ThreeWaySplitOptions = {},
): ThreeWaySplit<R> {
  const { validation = 0.2, test = 0.2, seed = 42 } = options;
  if (!(validation + test < 1)) {
    throw new DataError(
      "DATA_SPLIT_RATIO",
      `The shares of validation (${validation}) and test (${test}) leave nothing to train on: their sum must be below 1.`,
    );
  }
  const first = splitRows(rows, { ratio: test, seed });
  const second = splitRows(first.train, { ratio: validation / (1 - test), seed });
  return { train: second.train, validation: second.heldOut, test: first.heldOut };
}

/** Rows without a group are grouped by the pictures they show, rows without pictures stand alone. */
function contentOf(row: SplitRow): string {
  if (row.group !== undefined) return `group ${row.group}`;
  // Names, not paths: the split must not depend on where the folder lies.
  if (row.images.length > 0) return `pictures ${row.images.map((path) => basename(path)).join(" ")}`;
  return `row ${row.source.file} ${row.id}`;
}

function chooseGroups(
  rows: readonly SplitRow[],
  { dataset, ratio, seed }: { readonly dataset: string; readonly ratio: number; readonly seed: number },
): Set<string> {
  const sizes = new Map<string, number>();
  let total = 0;
  for (const row of rows) {
    if (row.dataset !== dataset) continue;
    const group = contentOf(row);
    sizes.set(group, (sizes.get(group) ?? 0) + 1);
    total += 1;
  }
  if (sizes.size < 2) {
    throw new DataError(
      "DATA_SPLIT_IMPOSSIBLE",
      `All ${total} rows of data set "${dataset}" show the same content, so none can be held out. Set val_split_ratio to 0, or add rows of another group.`,
      { fields: { dataset, rows: total } },
    );
  }

  const drawn = [...sizes.keys()]
    .map((group) => ({ group, key: foldKey(seed, seedStreams.order, textKey(dataset), textKey(group)) }))
    .toSorted((a, b) => (a.key < b.key ? -1 : 1));
  const chosen = new Set<string>();
  let count = 0;
  for (const { group } of drawn) {
    const size = sizes.get(group)!;
    const nearer = Math.abs(count + size - total * ratio) < Math.abs(count - total * ratio);
    const possible = chosen.size < sizes.size - 1;
    if (possible && (nearer || chosen.size === 0)) {
      chosen.add(group);
      count += size;
    }
  }
  return chosen;
}
