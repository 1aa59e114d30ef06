import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { countBatches } from "../../src/config/index.js";
import { createSampler, type SamplerConfig } from "../../src/data/index.js";
import { makeRows } from "./build.js";
import { batchesOf, countOf, idsOf } from "./orders.js";

const config = (given: SamplerConfig = {}): SamplerConfig => ({ data_seed: 42, prompts_per_step: 4, ...given });

/** Up to three data sets, large enough for any share of a batch. */
const cases = fc
  .record({
    size: fc.integer({ min: 1, max: 6 }),
    sets: fc.array(fc.tuple(fc.nat({ max: 30 }), fc.integer({ min: 1, max: 9 })), { minLength: 1, maxLength: 3 }),
    epochs: fc.integer({ min: 1, max: 5 }),
    data_seed: fc.nat(),
    shuffle_dataset: fc.boolean(),
  })
  .map(({ size, sets, epochs, ...given }) => {
    const names = sets.map((_, set) => `set ${set}`);
    const rows = sets.flatMap(([more], set) => makeRows(2 * size + more, { dataset: names[set]! }));
    const weights = Object.fromEntries(sets.map(([, weight], set) => [names[set]!, weight]));
    const total = sets.reduce((sum, [, weight]) => sum + weight, 0);
    const shares = Object.fromEntries(sets.map(([, weight], set) => [names[set]!, weight / total]));
    const order = { prompts_per_step: size, num_train_epochs: epochs, dataset_weights: weights, ...given };
    return { size, epochs, rows, names, shares, order };
  });

describe("batches of one data set each, with weights", () => {
  it("give each data set its share of all rows, within one batch over every epoch", () => {
    fc.assert(
      fc.property(cases, ({ rows, size, shares, names, order }) => {
        const batches = batchesOf(rows, order);
        for (const name of names) {
          const own = batches.filter((batch) => batch.rows[0]!.dataset === name);
          for (let epoch = 1; epoch <= order.num_train_epochs; epoch += 1) {
            const due = (rows.length * shares[name]!) / size;
            const got = own.filter((batch) => batch.epoch === epoch).length;
            expect(Math.abs(got - due)).toBeLessThan(1 + 1e-6);
          }
          expect(own.every((batch) => batch.rows.every(({ dataset }) => dataset === name))).toBe(true);
        }
      }),
    );
  });

  it("go over each data set evenly: no row comes twice more often than another", () => {
    fc.assert(
      fc.property(cases, ({ rows, names, order }) => {
        const drawn = batchesOf(rows, order).flatMap((batch) => batch.rows);
        const uses = countOf(drawn);
        for (const name of names) {
          const counts = rows.filter(({ dataset }) => dataset === name).map((row) => uses.get(row) ?? 0);
          expect(Math.max(...counts) - Math.min(...counts)).toBeLessThanOrEqual(2);
        }
      }),
    );
  });

  it("are as many as the numbers of rows alone say", () => {
    fc.assert(
      fc.property(
        cases,
        fc.constantFrom("one", "mixed"),
        ({ rows, size, epochs, names, shares, order }, batch_datasets) => {
          const fill = (share: number) =>
            countBatches({ rows: rows.length * share, epochs, promptsPerStep: size }).batches;
          const { batches } = createSampler(rows, { ...order, batch_datasets });
          const each = names.map((name) => fill(shares[name]!));
          expect(batches).toBe(batch_datasets === "mixed" ? fill(1) : each.reduce((total, one) => total + one, 0));
        },
      ),
    );
  });

  it("are uniform whatever the sizes, and for two equal numbers the same", () => {
    const rows = [...makeRows(40, { dataset: "large" }), ...makeRows(8, { dataset: "small" })];
    const uniform = batchesOf(rows, config({ dataset_weights: "uniform" }));
    expect(countOf(uniform.map((batch) => batch.rows[0]!.dataset))).toEqual(
      new Map([
        ["large", 6],
        ["small", 6],
      ]),
    );
    expect(batchesOf(rows, config({ dataset_weights: { large: 3, small: 3 } }))).toEqual(uniform);
  });

  it("refuse weights for other data sets than there are", () => {
    const rows = [...makeRows(8, { dataset: "a" }), ...makeRows(8, { dataset: "b" })];
    expect(() => createSampler(rows, config({ dataset_weights: { a: 1, c: 2 } }))).toThrow(
      'dataset_weights has "c", which no row belongs to, no number for "b". Give one number for each data set: a, b.',
    );
  });
});

describe("mixed batches", () => {
  const mixed = (given: SamplerConfig): SamplerConfig => ({ ...given, batch_datasets: "mixed" });

  it("hold each data set's share, rounded down or up, and within one row the right number over an epoch", () => {
    fc.assert(
      fc.property(cases, ({ rows, size, shares, names, order }) => {
        const batches = batchesOf(rows, mixed(order));
        for (const name of names) {
          const counts = batches.map((batch) => batch.rows.filter(({ dataset }) => dataset === name).length);
          for (const count of counts) expect(Math.abs(count - size * shares[name]!)).toBeLessThan(1);
          for (let epoch = 1; epoch <= order.num_train_epochs; epoch += 1) {
            const own = counts.filter((_, at) => batches[at]!.epoch === epoch);
            const got = own.reduce((total, count) => total + count, 0);
            expect(Math.abs(got - own.length * size * shares[name]!)).toBeLessThan(1);
          }
        }
      }),
    );
  });

  it("hold the right number where a share ends in the middle between two rows", () => {
    const rows = ["a", "b", "c"].flatMap((dataset) => makeRows(7, { dataset }));
    // 21 batches of one row: a owns 1.5 of the ruler, b 12, c 7.5.
    const order = mixed({ prompts_per_step: 1, dataset_weights: { a: 1, b: 8, c: 5 }, shuffle_dataset: false });
    const counts = countOf(batchesOf(rows, order).map((batch) => batch.rows[0]!.dataset));
    expect(counts.get("b")).toBe(12);
  });

  it("hold no row twice, and go over each data set evenly", () => {
    fc.assert(
      fc.property(cases, ({ rows, size, names, order }) => {
        const batches = batchesOf(rows, mixed(order));
        for (const batch of batches) expect(new Set(batch.rows).size).toBe(size);
        const uses = countOf(batches.flatMap((batch) => batch.rows));
        for (const name of names) {
          const counts = rows.filter(({ dataset }) => dataset === name).map((row) => uses.get(row) ?? 0);
          expect(Math.max(...counts) - Math.min(...counts)).toBeLessThanOrEqual(2);
        }
      }),
    );
  });

  it("without weights use every row once in a pass, whatever its data set", () => {
    fc.assert(
      fc.property(cases, ({ rows, epochs, order }) => {
        const sampler = createSampler(rows, mixed({ ...order, dataset_weights: "proportional" }));
        const batches = batchesOf(rows, mixed({ ...order, dataset_weights: "proportional" }));
        const uses = countOf(batches.flatMap((batch) => batch.rows));
        const unused = rows.reduce((total, row) => total + epochs - (uses.get(row) ?? 0), 0);
        expect(sampler.leftOver).toEqual({ "all rows": unused });
        for (const row of rows) expect(epochs - (uses.get(row) ?? 0)).toBeLessThanOrEqual(1);
      }),
    );
  });

  it("come one by one, without those before them", () => {
    fc.assert(
      fc.property(cases, fc.nat(), ({ rows, order }, at) => {
        const batches = batchesOf(rows, mixed(order));
        const step = 1 + (at % batches.length);
        expect(createSampler(rows, mixed(order)).batch(step)).toEqual(batches[step - 1]);
      }),
    );
  });

  it("pin the order of a seed: a resumed run of an older version must not see other rows", () => {
    const rows = [...makeRows(6, { dataset: "a" }), ...makeRows(7, { dataset: "b" })];
    const batches = batchesOf(
      rows,
      mixed({ prompts_per_step: 4, num_train_epochs: 2, data_seed: 7, dataset_weights: { a: 3, b: 1 } }),
    );
    expect(batches.map((batch) => `${batch.epoch} ${idsOf(batch).join(" ")}`)).toMatchInlineSnapshot(`
      [
        "1 a 1 a 2 a 0 b 3",
        "1 a 4 a 5 a 3 b 6",
        "1 a 2 a 1 a 0 b 2",
        "2 a 3 a 5 a 4 b 0",
        "2 a 0 a 2 a 1 b 4",
        "2 a 4 a 3 a 5 b 1",
      ]
    `);
  });

  it("refuse a share that is more than half of a data set", () => {
    const rows = [...makeRows(20, { dataset: "a" }), ...makeRows(3, { dataset: "b" })];
    expect(() => createSampler(rows, mixed(config({ dataset_weights: "uniform" })))).toThrow(
      'Data set "b" has 3 rows and, as dataset_weights says, gives up to 2 of them to each batch, which takes at least 4.',
    );
  });
});
