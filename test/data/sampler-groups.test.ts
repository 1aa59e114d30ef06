import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createSampler, type Row, type SamplerConfig } from "../../src/data/index.js";
import { makeRow, makeRows } from "./build.js";
import { batchesOf, countOf, groupedRows, idsOf } from "./orders.js";

const config = (given: SamplerConfig = {}): SamplerConfig => ({ data_seed: 42, prompts_per_step: 4, ...given });
const groupsIn = (rows: readonly Row[]): number => new Set(rows.map(({ group }) => group)).size;
const order = fc.record({
  num_train_epochs: fc.integer({ min: 1, max: 4 }),
  data_seed: fc.nat(),
  shuffle_dataset: fc.boolean(),
});

function givesAnyBatch(cases: fc.Arbitrary<{ readonly rows: Row[]; readonly given: SamplerConfig }>): void {
  fc.assert(
    fc.property(cases, fc.nat(), ({ rows, given }, at) => {
      const batches = batchesOf(rows, given);
      const step = 1 + (at % batches.length);
      expect(createSampler(rows, given).batch(step)).toEqual(batches[step - 1]);
    }),
  );
}

describe('batch_groups "apart"', () => {
  const cases = fc
    .record({
      size: fc.integer({ min: 1, max: 6 }),
      sizes: fc.array(fc.integer({ min: 1, max: 12 }), { minLength: 6, maxLength: 14 }),
      order,
    })
    .map(({ size, sizes, order: given }) => ({
      size,
      rows: groupedRows(sizes),
      given: { ...given, prompts_per_step: size, batch_groups: "apart" as const },
    }));

  it("has no two rows of a group in a batch, and no row twice in a pass", () => {
    fc.assert(
      fc.property(cases, ({ rows, size, given }) => {
        const batches = batchesOf(rows, given);
        for (const batch of batches) expect([batch.rows.length, groupsIn(batch.rows)]).toEqual([size, size]);
        const perPass = batches.length / given.num_train_epochs;
        for (let pass = 0; pass < given.num_train_epochs; pass += 1) {
          const drawn = batches.slice(pass * perPass, (pass + 1) * perPass).flatMap(({ rows: own }) => own);
          expect(new Set(drawn).size).toBe(drawn.length);
        }
      }),
    );
  });

  it("makes as many batches as groups allow, and counts the rows that are left over", () => {
    fc.assert(
      fc.property(cases, ({ rows, size, given }) => {
        const { batches, leftOver } = createSampler(rows, given);
        const counts = [...countOf(rows.map(({ group }) => group)).values()];
        const fits = (number: number): boolean =>
          counts.reduce((total, count) => total + Math.min(count, number), 0) >= number * size;
        const perPass = batches / given.num_train_epochs;
        expect([fits(perPass), fits(perPass + 1)]).toEqual([true, false]);
        expect(leftOver).toEqual({ pictures: given.num_train_epochs * (rows.length - perPass * size) });
      }),
    );
  });

  it("uses all rows where no group is larger than its share", () => {
    const rows = groupedRows([5, 5, 5, 5, 5, 5, 5, 5]);
    const uses = countOf(batchesOf(rows, config({ batch_groups: "apart", num_train_epochs: 3 })).flatMap(idsOf));
    expect(new Set(uses.values())).toEqual(new Set([3]));
  });

  it("counts rows without a group as different ones", () => {
    const rows = [...makeRows(6), makeRow(6, { group: "g" }), makeRow(7, { group: "g" })];
    const batches = batchesOf(rows, config({ batch_groups: "apart" }));
    expect(batches.map((batch) => batch.rows.filter(({ group }) => group === "g").length)).toEqual([1, 1]);
  });

  it("gives any batch without the ones before it", () => givesAnyBatch(cases));

  it("refuses fewer groups than a batch has rows", () => {
    expect(() => createSampler(groupedRows([9, 9, 9]), config({ batch_groups: "apart" }))).toThrow(
      expect.objectContaining({
        code: "DATA_TOO_FEW_GROUPS",
        message: expect.stringContaining(
          'Data set "pictures" has rows of 3 groups, and with batch_groups "apart" a batch takes rows of prompts_per_step (4) different ones.',
        ) as string,
      }) as Error,
    );
  });
});

describe('batch_groups "together"', () => {
  /** Groups of one size that divides a batch, and of others that fill what is left. */
  const cases = fc
    .record({
      sizes: fc.array(fc.constantFrom(1, 2, 3, 4), { minLength: 6, maxLength: 30 }),
      ones: fc.integer({ min: 4, max: 9 }),
      order,
    })
    .map(({ sizes, ones, order: given }) => ({
      rows: groupedRows([...sizes, ...Array.from({ length: ones }, () => 1)]),
      given: config({ ...given, prompts_per_step: 4, batch_groups: "together" }),
      passes: given.num_train_epochs,
    }));

  it("never splits a group", () => {
    fc.assert(
      fc.property(cases, ({ rows, given, passes }) => {
        const sizes = countOf(rows.map(({ group }) => group));
        const batches = batchesOf(rows, given);
        for (const batch of batches) {
          expect(batch.rows.length).toBe(4);
          for (const [group, count] of countOf(batch.rows.map((row) => row.group))) {
            expect(count).toBe(sizes.get(group));
          }
        }
        const perPass = batches.length / passes;
        const first = batches.slice(0, perPass).flatMap(({ rows: own }) => own);
        expect(new Set(first).size).toBe(first.length);
        expect(createSampler(rows, given).leftOver["pictures"]).toBe(passes * (rows.length - first.length));
      }),
    );
  });

  it("uses every row where groups fill batches", () => {
    const rows = groupedRows([2, 2, 4, 2, 2, 4, 1, 3]);
    const uses = countOf(batchesOf(rows, config({ batch_groups: "together", num_train_epochs: 3 })).flatMap(idsOf));
    expect([uses.size, new Set(uses.values())]).toEqual([20, new Set([3])]);
  });

  it("brings other groups together in another pass", () => {
    const rows = groupedRows(Array.from({ length: 20 }, () => 2));
    const pairs = batchesOf(rows, config({ batch_groups: "together", num_train_epochs: 2 })).map((batch) =>
      [...new Set(batch.rows.map(({ group = "" }) => group))].toSorted((a, b) => (a < b ? -1 : 1)).join(" "),
    );
    expect(pairs.length).toBe(20);
    expect(new Set(pairs).size).toBeGreaterThan(15);
  });

  it("gives any batch without the ones before it", () => givesAnyBatch(cases));

  it("keeps data sets apart that name groups alike", () => {
    const rows = [...groupedRows([2, 2], "a"), ...groupedRows([2, 2], "b")];
    for (const batch of batchesOf(rows, config({ batch_groups: "together", batch_datasets: "mixed" }))) {
      const groups = countOf(batch.rows.map(({ dataset, group }) => `${dataset} ${group}`));
      expect([...groups.values()]).toEqual([2, 2]);
    }
  });

  it("refuses a group larger than a batch, and sizes that fill none", () => {
    expect(() => createSampler(groupedRows([2, 5, 2]), config({ batch_groups: "together" }))).toThrow(
      'Data set "pictures" has 5 rows of group "content 1", and with batch_groups "together" they must fit into one batch of prompts_per_step (4) rows.',
    );
    expect(() => createSampler(groupedRows([3, 3, 3, 4]), config({ batch_groups: "together" }))).toThrow(
      'Data set "pictures" has groups of 3 rows, and no others are left that would fill a batch of prompts_per_step (4) rows with them',
    );
  });
});

describe('batch_groups "one"', () => {
  it("makes batches of one group each and uses every row of it", () => {
    const rows = [...groupedRows([6, 4, 9]), ...groupedRows([5], "other")];
    const sampler = createSampler(rows, config({ batch_groups: "one", num_train_epochs: 4 }));
    const batches = batchesOf(rows, config({ batch_groups: "one", num_train_epochs: 4 }));
    for (const batch of batches) expect(groupsIn(batch.rows)).toBe(1);
    const uses = countOf(batches.flatMap(idsOf));
    expect([uses.size, new Set(uses.values())]).toEqual([24, new Set([4])]);
    expect(sampler.counts.datasets).toEqual([
      { name: "other", rows: 5, rollouts: 5, leftOver: 0 },
      { name: "pictures", rows: 19, rollouts: 19, leftOver: 0 },
    ]);
  });

  it("refuses rows without a group, and groups that are too small", () => {
    expect(() => createSampler(makeRows(5), config({ batch_groups: "one" }))).toThrow(
      '5 rows of data set "pictures" have no group',
    );
    expect(() => createSampler(groupedRows([5, 3]), config({ batch_groups: "one" }))).toThrow(
      'Data set "pictures", group "content 1", has 3 rows, and a batch takes prompts_per_step (4) different rows of one group.',
    );
  });
});
