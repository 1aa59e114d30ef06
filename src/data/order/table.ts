/**
 * What the order of rows depends on, as columns of numbers: no row is held, so that millions fit into memory.
 *
 * @module
 */
import type { Row } from "../row.js";

export interface OrderTable {
  /** Rows. */
  readonly length: number;
  /** Names of the data sets, in the order in which they first appear. */
  readonly datasets: readonly string[];
  /** [length] Number of the row's data set. */
  readonly dataset: Uint32Array;
  /** Names of the groups; two data sets share none, even where names agree. */
  readonly groups: readonly string[];
  /** [length] Number of the row's group; -1 without one. */
  readonly group: Int32Array;
  /** [length] What a curriculum sorts by; null without one. */
  readonly curriculum: Float64Array | null;
}

export interface TableBuilder {
  /** @param value what a curriculum sorts by; not a number while there is none */
  add(row: Pick<Row, "dataset" | "group">, value: number): void;
  /** @param curriculum whether the values count */
  build(curriculum: boolean): OrderTable;
}

/** Takes rows one by one, in their order. */
export function createTableBuilder(): TableBuilder {
  const datasets = createNames();
  const groups = createNames();
  const dataset = createColumn((length) => new Uint32Array(length));
  const group = createColumn((length) => new Int32Array(length));
  const curriculum = createColumn((length) => new Float64Array(length));
  return {
    add(row, value) {
      const number = datasets.numberOf(row.dataset);
      dataset.push(number);
      group.push(row.group === undefined ? -1 : groups.numberOf(`${number} ${row.group}`));
      curriculum.push(value);
    },
    build: (sorted) => ({
      length: dataset.length(),
      datasets: datasets.all(),
      dataset: dataset.values(),
      groups: groups.all().map((name) => name.slice(name.indexOf(" ") + 1)),
      group: group.values(),
      curriculum: sorted ? curriculum.values() : null,
    }),
  };
}

function createNames(): { numberOf(name: string): number; all(): string[] } {
  const numbers = new Map<string, number>();
  return {
    numberOf(name) {
      const known = numbers.get(name);
      if (known !== undefined) return known;
      numbers.set(name, numbers.size);
      return numbers.size - 1;
    },
    all: () => [...numbers.keys()],
  };
}

/** A typed array that grows. */
export interface Column<T> {
  push(value: number): void;
  length(): number;
  /** What was pushed. */
  values(): T;
}

/** @param make an array of that many zeros */
export function createColumn<T extends Uint32Array | Int32Array | Float64Array>(
  make: (length: number) => T,
): Column<T> {
  let held = make(1024);
  let length = 0;
  return {
    push(value) {
      if (length === held.length) {
        const larger = make(length * 2);
        larger.set(held);
        held = larger;
      }
      held[length] = value;
      length += 1;
    },
    length: () => length,
    values: () => held.slice(0, length) as T,
  };
}
