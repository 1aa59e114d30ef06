import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { splitRows, splitRowsInThree, type Row } from "../../src/data/index.js";
import { makeRow, makeRows } from "./build.js";

/** Rows of 40 groups with 1 to 9 rows each. */
const grouped: Row[] = Array.from({ length: 200 }, (_, number) => makeRow(number, { group: `g${(number * 7) % 40}` }));
const ids = (rows: readonly Row[]): string[] => rows.map(({ id }) => id);

describe("splitRows", () => {
  it("keeps every group on one side and loses no row", () => {
    const row = fc.record({ dataset: fc.constantFrom("a", "b"), group: fc.integer({ min: 0, max: 12 }) });
    fc.assert(
      fc.property(
        fc.array(row, { minLength: 4, maxLength: 60 }),
        fc.double({ min: 0.05, max: 0.95, noNaN: true }),
        fc.nat(),
        (given, ratio, seed) => {
          const rows = [
            ...given.map(({ dataset, group }, number) => makeRow(number, { dataset, group: `g${group}` })),
            ...["a", "b"].flatMap((dataset) => [0, 1].map((at) => makeRow(100 + at, { dataset, group: `own${at}` }))),
          ];
          const { train, heldOut } = splitRows(rows, { ratio, seed });
          const names = (side: readonly Row[]) => new Set(side.map(({ dataset, group }) => `${dataset} ${group}`));
          expect([...names(train)].filter((name) => names(heldOut).has(name))).toEqual([]);
          expect(train.length + heldOut.length).toBe(rows.length);
          expect(rows.filter((one) => train.includes(one))).toEqual(train);
          for (const dataset of ["a", "b"]) {
            expect(train.some((one) => one.dataset === dataset)).toBe(true);
            expect(heldOut.some((one) => one.dataset === dataset)).toBe(true);
          }
        },
      ),
    );
  });

  it("meets the ratio as nearly as the groups allow", () => {
    for (const ratio of [0.1, 0.25, 0.5, 0.9]) {
      const { heldOut } = splitRows(grouped, { ratio, seed: 3 });
      expect(Math.abs(heldOut.length - 200 * ratio)).toBeLessThanOrEqual(2.5);
    }
  });

  it("does not depend on the order of rows, nor on where the pictures lie", () => {
    const { heldOut } = splitRows(grouped, { ratio: 0.3, seed: 5 });
    const reversed = splitRows(grouped.toReversed(), { ratio: 0.3, seed: 5 });
    expect(ids(reversed.heldOut.toReversed())).toEqual(ids(heldOut));

    const here = makeRows(50);
    const there = here.map((row) => ({
      ...row,
      images: row.images.map((path) => path.replace("/somewhere", "/else")),
    }));
    expect(ids(splitRows(there, { ratio: 0.3 }).heldOut)).toEqual(ids(splitRows(here, { ratio: 0.3 }).heldOut));
  });

  it("depends on the seed", () => {
    const [first, second] = [1, 2].map((seed) => ids(splitRows(grouped, { ratio: 0.3, seed }).heldOut));
    expect(first).not.toEqual(second);
  });

  it("groups rows without a group by their pictures", () => {
    const twice = [...makeRows(30), ...makeRows(30).map((row) => ({ ...row, id: `again ${row.id}` }))];
    const { train, heldOut } = splitRows(twice, { ratio: 0.4, seed: 1 });
    const pictures = new Set(heldOut.flatMap(({ images }) => images));
    expect(train.filter(({ images }) => pictures.has(images[0]!))).toEqual([]);
    expect(heldOut.length).toBe(24);
  });

  it("refuses a data set of one content, and a share that is none", () => {
    const rows = makeRows(10, { group: "all the same" });
    expect(() => splitRows(rows, { ratio: 0.2 })).toThrow(
      'All 10 rows of data set "pictures" show the same content, so none can be held out.',
    );
    for (const ratio of [0, 1, -0.1, Number.NaN]) {
      expect(() => splitRows(grouped, { ratio })).toThrow("must lie between 0 and 1");
    }
  });
});

describe("splitRowsInThree", () => {
  it("gives KADID-10k's 81 references as 49, 16 and 16, none of them twice", () => {
    const rows = Array.from({ length: 81 * 5 }, (_, number) => makeRow(number, { group: `I${number % 81}` }));
    const { train, validation, test } = splitRowsInThree(rows);
    const groups = [train, validation, test].map((part) => new Set(part.map(({ group }) => group)));
    expect(groups.map(({ size }) => size)).toEqual([49, 16, 16]);
    expect(new Set(groups.flatMap((part) => [...part])).size).toBe(81);
    expect([train.length, validation.length, test.length]).toEqual([245, 80, 80]);
  });

  it("takes other shares, as long as something is left to train on", () => {
    const { train, validation, test } = splitRowsInThree(grouped, { validation: 0.1, test: 0.4, seed: 3 });
    expect([train, validation, test].map((part) => Math.round(part.length / 20))).toEqual([5, 1, 4]);
    expect(() => splitRowsInThree(grouped, { validation: 0.5, test: 0.5 })).toThrow("leave nothing to train on");
  });
});
