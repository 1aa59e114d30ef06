import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { batchSizes, countBatches, defineConfig, resolveConfig } from "../../src/config/index.js";
import { createSampler, type Row, type SampledBatch, type SamplerConfig } from "../../src/data/index.js";
import { makeRows } from "./build.js";

const config = (given: SamplerConfig = {}): SamplerConfig => ({ data_seed: 42, prompts_per_step: 4, ...given });

const batchesOf = (rows: readonly Row[], given: SamplerConfig): SampledBatch[] => {
  const sampler = createSampler(rows, given);
  return Array.from({ length: sampler.batches }, (_, index) => sampler.batch(index + 1));
};
const ids = (batch: SampledBatch | undefined): string[] => batch!.rows.map(({ id }) => id);
const count = <T>(items: readonly T[]): Map<T, number> => {
  const counts = new Map<T, number>();
  for (const item of items) counts.set(item, (counts.get(item) ?? 0) + 1);
  return counts;
};

/** Sizes of up to three data sets, rows of a batch, passes. */
const cases = fc
  .record({
    size: fc.integer({ min: 1, max: 7 }),
    extra: fc.array(fc.nat({ max: 25 }), { minLength: 1, maxLength: 3 }),
    epochs: fc.integer({ min: 1, max: 6 }),
    seed: fc.nat(),
  })
  .map(({ size, extra, epochs, seed }) => {
    const lengths = extra.map((more) => size + more);
    const rows = lengths.flatMap((length, set) => makeRows(length, { dataset: `set ${set}` }));
    return {
      size,
      lengths,
      epochs,
      rows,
      config: config({ prompts_per_step: size, num_train_epochs: epochs, data_seed: seed }),
    };
  });

describe("dataloader_drop_last", () => {
  it("makes every pass of whole batches, each row at most once, and leaves out other rows each time", () => {
    fc.assert(
      fc.property(cases, ({ rows, lengths, size, epochs, config: given }) => {
        const batches = batchesOf(rows, { ...given, dataloader_drop_last: true });
        for (const [set, length] of lengths.entries()) {
          const own = batches.filter((batch) => batch.rows[0]!.dataset === `set ${set}`).map((batch) => ids(batch));
          const perPass = Math.floor(length / size);
          expect(own.length).toBe(perPass * epochs);
          for (let pass = 0; pass < epochs; pass += 1) {
            const drawn = own.slice(pass * perPass, (pass + 1) * perPass).flat();
            expect(new Set(drawn).size).toBe(perPass * size);
          }
        }
      }),
    );
    const rows = makeRows(11);
    const left = Array.from({ length: 40 }, (_, data_seed) => {
      const drawn = batchesOf(rows, config({ data_seed, dataloader_drop_last: true })).flatMap((batch) => ids(batch));
      return rows.filter(({ id }) => !drawn.includes(id)).map(({ id }) => id);
    });
    expect(left.every((one) => one.length === 3)).toBe(true);
    expect(new Set(left.flat()).size).toBe(11);
  });

  it("drops what a device's batches of KADID-10k leave over, as the reference does", () => {
    const given = config({ prompts_per_step: 8, num_train_epochs: 2, dataloader_drop_last: true });
    const sampler = createSampler(makeRows(6125), given);
    expect(sampler.batches).toBe(2 * 765);
    expect(Object.values(sampler.leftOver)).toEqual([10]);
  });

  it("leaves the choice to the shuffle where rows are sorted", () => {
    const rows = makeRows(10).map((row) => ({ ...row, extra: { hard: Number(row.id) } }));
    const given = config({ curriculum_key: "hard", dataloader_drop_last: true, num_train_epochs: 30 });
    const passes = batchesOf(rows, given);
    expect(count(passes.flatMap((batch) => ids(batch))).size).toBe(10);
    for (let pass = 0; pass < 30; pass += 1) {
      const order = [...ids(passes[2 * pass]), ...ids(passes[2 * pass + 1])].map(Number);
      expect(order).toEqual(order.toSorted((a, b) => a - b));
    }
  });

  it.each([
    [{ batch_groups: "apart" }, /dataloader_drop_last is true and batch_groups is "apart"/],
    [{ batch_datasets: "mixed", dataset_weights: "uniform" }, /dataset_weights is "uniform"/],
  ] as const)("is refused with %o", (more, message) => {
    expect(() => createSampler(makeRows(9), config({ ...more, dataloader_drop_last: true }))).toThrow(message);
  });
});

describe("createSampler", () => {
  it("fills every batch with different rows of one data set", () => {
    fc.assert(
      fc.property(cases, ({ rows, size, config: given }) => {
        for (const batch of batchesOf(rows, given)) {
          expect(new Set(batch.rows.map(({ dataset }) => dataset)).size).toBe(1);
          expect(new Set(batch.rows).size).toBe(size);
        }
      }),
    );
  });

  it("gives each data set floor(rows x epochs / batch) batches, as the plan counts them", () => {
    fc.assert(
      fc.property(cases, ({ rows, lengths, size, epochs, config: given }) => {
        const sampler = createSampler(rows, given);
        const perSet = count(batchesOf(rows, given).map((batch) => batch.rows[0]!.dataset));
        for (const [set, length] of lengths.entries()) {
          const counted = countBatches({ rows: length, epochs, promptsPerStep: size });
          expect(perSet.get(`set ${set}`)).toBe(counted.batches);
          expect(counted.batches).toBe(Math.floor((length * epochs) / size));
          expect(sampler.leftOver[`set ${set}`]).toBe(counted.leftOver);
        }
      }),
    );
  });

  it("uses every row as often as there are passes, but for those left over", () => {
    fc.assert(
      fc.property(cases, ({ rows, epochs, config: given }) => {
        const uses = count(batchesOf(rows, given).flatMap((batch) => batch.rows));
        const unused = rows.reduce((total, row) => total + epochs - (uses.get(row) ?? 0), 0);
        const { leftOver } = createSampler(rows, given);
        expect(unused).toBe(Object.values(leftOver).reduce((total, one) => total + one, 0));
        for (const row of rows) expect(epochs - (uses.get(row) ?? 0)).toBeLessThanOrEqual(1);
      }),
    );
  });

  it("draws each row once before any a second time, up to the one batch on the seam", () => {
    const rows = makeRows(10);
    const drawn = batchesOf(rows, config({ num_train_epochs: 2 })).flatMap(ids);
    expect(drawn.length).toBe(20);
    expect(new Set(drawn.slice(0, 10)).size).toBe(10);
    expect(new Set(drawn.slice(10)).size).toBe(10);
  });

  it("gives any batch without the ones before it", () => {
    fc.assert(
      fc.property(cases, fc.nat(), ({ rows, config: given }, at) => {
        const all = batchesOf(rows, given);
        const step = 1 + (at % all.length);
        const fresh = createSampler(rows, given);
        expect(fresh.batch(step)).toEqual(all[step - 1]);
        expect(fresh.at(step)).toEqual(all[step - 1]!.rows);
      }),
    );
  });

  it("is iterated from the first batch, every time", async () => {
    const sampler = createSampler(makeRows(9), config());
    const steps: number[] = [];
    for await (const { step, epoch, rows } of sampler) {
      steps.push(step);
      expect(epoch).toBe(1);
      expect(rows).toEqual(sampler.at(step));
    }
    for await (const { step } of sampler) steps.push(step);
    expect(steps).toEqual([1, 2, 1, 2]);
  });

  it("has another order with another seed and in another epoch", () => {
    const rows = makeRows(24);
    const [first, second] = [1, 2].map((data_seed) => batchesOf(rows, config({ data_seed, num_train_epochs: 2 })));
    expect(first!.map(ids)).not.toEqual(second!.map(ids));
    expect(first!.slice(0, 6).map(ids)).not.toEqual(first!.slice(6).map(ids));
    expect(first!.map(({ epoch }) => epoch)).toEqual([1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2]);
  });

  it("keeps a data set's order when another is added", () => {
    const one = makeRows(12, { dataset: "one" });
    const alone = batchesOf(one, config());
    const together = batchesOf([...makeRows(20, { dataset: "another" }), ...one], config());
    expect(together.filter((batch) => batch.rows[0]!.dataset === "one").map(ids)).toEqual(alone.map(ids));
  });

  it("spreads a small data set over an epoch", () => {
    const rows = [...makeRows(320, { dataset: "large" }), ...makeRows(80, { dataset: "small" })];
    const order = batchesOf(rows, config()).map((batch) => batch.rows[0]!.dataset);
    const places = order.flatMap((dataset, index) => (dataset === "small" ? [index] : []));
    expect(places.length).toBe(20);
    for (const half of [places.filter((at) => at < 50), places.filter((at) => at >= 50)]) {
      expect(half.length).toBeGreaterThanOrEqual(5);
    }
  });

  it("pins the order of a seed: a resumed run of an older version must not see other rows", () => {
    const rows = [...makeRows(7, { dataset: "a" }), ...makeRows(5, { dataset: "b" })];
    const batches = batchesOf(rows, config({ prompts_per_step: 3, num_train_epochs: 2, data_seed: 7 }));
    expect(batches.map((batch) => `${batch.epoch} ${batch.rows[0]!.dataset} ${ids(batch).join(" ")}`)).toEqual([
      "1 a 1 2 0",
      "1 b 3 1 2",
      "1 a 4 5 3",
      "2 a 6 2 5",
      "2 a 6 1 4",
      "2 b 0 4 2",
      "2 b 4 0 1",
    ]);
  });

  it("ends where max_steps says, counted in optimizer steps, and goes on beyond the epochs for it", () => {
    const rows = makeRows(9);
    const reused = config({ num_iterations: 2, per_device_train_batch_size: 6, gradient_accumulation_steps: 2 });
    const sizes = resolveConfig({ ...reused, model_name_or_path: "any" });
    expect(batchSizes(sizes).updatesPerBatch).toBe(4);
    expect(createSampler(rows, { ...reused, max_steps: 24 }).batches).toBe(6);
    expect(createSampler(rows, config({ max_steps: 1 })).batches).toBe(1);
    const long = batchesOf(rows, config({ max_steps: 7 }));
    expect(long.map(({ epoch }) => epoch)).toEqual([1, 1, 2, 2, 3, 3, 4]);
    expect(long.slice(0, 2)).toEqual(batchesOf(rows, config()));
  });

  it("takes a whole configuration, resolved or not, and fills in what it leaves out", () => {
    const rows = makeRows(30);
    const input = {
      model_name_or_path: "any",
      seed: 5,
      per_device_train_batch_size: 12,
      gradient_accumulation_steps: 2,
    };
    const sampler = createSampler(rows, defineConfig(input));
    expect(sampler.at(1).length).toBe(4);
    expect(createSampler(rows, resolveConfig(input)).at(3)).toEqual(sampler.at(3));
    expect(createSampler(rows, { seed: 5, prompts_per_step: 4 }).at(3)).toEqual(sampler.at(3));
    expect(() => createSampler(rows, { prompts_per_step: 0 })).toThrow("prompts_per_step is 0; it must be");
    expect(() => createSampler(rows, { per_device_train_batch_size: 10 })).toThrow(
      "An update takes 10 completions, which is no multiple of num_generations (6)",
    );
  });

  it("takes fractions of an epoch", () => {
    const sampler = createSampler(makeRows(30), config({ num_train_epochs: 0.5 }));
    expect([sampler.batches, sampler.leftOver]).toEqual([3, { pictures: 3 }]);
  });

  it("refuses a data set smaller than a batch with both numbers", () => {
    const rows = [...makeRows(9), ...makeRows(3, { dataset: "tiny" })];
    expect(() => createSampler(rows, config())).toThrow(
      expect.objectContaining({ name: "DataError", code: "DATA_TOO_FEW_ROWS" }) as Error,
    );
    expect(() => createSampler(rows, config())).toThrow(
      'Data set "tiny" has 3 rows, and a batch takes prompts_per_step (4) different rows of one data set.',
    );
    expect(() => createSampler([], config())).toThrow("There are no rows");
    expect(() => createSampler(makeRows(9), config({ num_train_epochs: 0.1 }))).toThrow(
      "9 rows x num_train_epochs (0.1) fill no batch of prompts_per_step (4) rows",
    );
  });

  it.each([0, 3, 1.5, -1])("has no batch %d of 2", (step) => {
    expect(() => createSampler(makeRows(9), config()).at(step)).toThrow("they go from 1 to 2");
  });
});
