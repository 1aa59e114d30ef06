import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createSampler, type SamplerConfig } from "../../src/data/index.js";
import { makeRow, makeRows } from "./build.js";
import { batchesOf, countOf, groupedRows, idsOf } from "./orders.js";

const config = (given: SamplerConfig = {}): SamplerConfig => ({ data_seed: 42, prompts_per_step: 4, ...given });
/** Rows whose field `hard` is given by their number. */
const rowsBy = (hard: (number: number) => number, count = 20) =>
  Array.from({ length: count }, (_, number) => makeRow(number, { extra: { hard: hard(number) } }));
const scrambled = (number: number): number => (number * 7) % 20;
const hardOf = (batches: ReturnType<typeof batchesOf>): unknown[] =>
  batches.flatMap(({ rows }) => rows.map(({ extra }) => extra["hard"]));

describe("a curriculum", () => {
  it("goes from the smallest to the largest in every pass, or the other way round", () => {
    const rows = rowsBy(scrambled);
    const up = Array.from({ length: 20 }, (_, hard) => hard);
    const key = { curriculum_key: "hard", num_train_epochs: 2 } as const;
    expect(hardOf(batchesOf(rows, config(key)))).toEqual([...up, ...up]);
    expect(hardOf(batchesOf(rows, config({ ...key, curriculum_order: "descending" })))).toEqual(
      [...up, ...up].reverse(),
    );
  });

  it("takes fields that are known under the names of the data file", () => {
    const rows = Array.from({ length: 8 }, (_, number) =>
      makeRow(number, { mos: -number, mosStd: (number * 3) % 8, level: (number * 5) % 8 }),
    );
    const ids = (curriculum_key: string): number[] =>
      batchesOf(rows, config({ curriculum_key })).flatMap((batch) => batch.rows.map(({ id }) => Number(id)));
    expect(ids("mos")).toEqual([7, 6, 5, 4, 3, 2, 1, 0]);
    expect(ids("mos_std")).toEqual([0, 3, 6, 1, 4, 7, 2, 5]);
    expect(ids("level")).toEqual([0, 5, 2, 7, 4, 1, 6, 3]);
  });

  it("may be a function", () => {
    const rows = makeRows(12);
    const sampler = createSampler(rows, config(), { curriculum: ({ id }) => -Number(id) });
    expect(sampler.at(1).map(({ id }) => id)).toEqual(["11", "10", "9", "8"]);
    expect(() => createSampler(rows, config(), { curriculum: () => NaN })).toThrow(
      "data file 1:1  the curriculum's function gives NaN for this row; it must give a finite number.",
    );
  });

  it("shuffles rows of equal difficulty, and mixes as much as asked for", () => {
    const rows = rowsBy((number) => Math.floor(number / 10));
    const strict = batchesOf(rows, config({ curriculum_key: "hard", num_train_epochs: 2 }));
    expect(hardOf(strict.slice(0, 5))).toEqual([...Array(10).fill(0), ...Array(10).fill(1)]);
    expect(strict.slice(0, 5).flatMap(idsOf)).not.toEqual(strict.slice(5).flatMap(idsOf));

    const many = rowsBy((number) => number, 400);
    const shuffled = batchesOf(many, config()).flatMap(idsOf);
    const strayed = [0, 0.2, 0.5].map((curriculum_mix) => {
      const hard = hardOf(batchesOf(many, config({ curriculum_key: "hard", curriculum_mix }))) as number[];
      return hard.reduce((total, value, place) => total + Math.abs(value - place), 0) / hard.length;
    });
    expect(strayed[0]).toBe(0);
    expect(strayed[1]).toBeGreaterThan(10);
    expect(strayed[2]).toBeGreaterThan(2 * strayed[1]!);
    const all = batchesOf(many, config({ curriculum_key: "hard", curriculum_mix: 1 })).flatMap(idsOf);
    expect(all).toEqual(shuffled);
  });

  it("leaves every promise about rows and groups as it is", () => {
    const orders = fc.record({
      batch_groups: fc.constantFrom("any", "one", "together", "apart"),
      curriculum_order: fc.constantFrom("ascending", "descending"),
      curriculum_mix: fc.double({ min: 0, max: 1, noNaN: true }),
      data_seed: fc.nat(),
    });
    fc.assert(
      fc.property(orders, (order) => {
        const rows = groupedRows([4, 4, 4, 4, 4, 4]).map((row) => ({ ...row, extra: { hard: Number(row.id) % 5 } }));
        const batches = batchesOf(rows, config({ ...order, curriculum_key: "hard", num_train_epochs: 2 }));
        expect(new Set(countOf(batches.flatMap(idsOf)).values())).toEqual(new Set([2]));
        const groups = batches.map((batch) => new Set(batch.rows.map(({ group }) => group)).size);
        if (order.batch_groups === "apart") expect(new Set(groups)).toEqual(new Set([4]));
        if (order.batch_groups === "one" || order.batch_groups === "together") {
          expect(new Set(groups)).toEqual(new Set([1]));
        }
      }),
    );
  });

  it("keeps easy groups first and does not decide which rows sit out", () => {
    const rows = groupedRows([4, 4, 4, 4, 4]).map((row) => ({ ...row, extra: { hard: Number(row.id) } }));
    const together = batchesOf(rows, config({ batch_groups: "together", curriculum_key: "hard" }));
    expect(together.map((batch) => batch.rows[0]!.group)).toEqual([0, 1, 2, 3, 4].map((one) => `content ${one}`));

    const odd = groupedRows([3, 3, 3, 3, 3, 3, 3]).map((row) => ({ ...row, extra: { hard: Number(row.id) } }));
    const apart = config({ batch_groups: "apart", curriculum_key: "hard", num_train_epochs: 30 });
    const uses = countOf(batchesOf(odd, apart).flatMap(idsOf));
    expect(uses.size).toBe(21);
    expect(Math.min(...uses.values())).toBeGreaterThan(20);
  });

  it("names every row that lacks the field, by file and line", () => {
    const rows = [
      ...makeRows(4, { extra: { hard: 1 } }),
      makeRow(4, { source: { file: 1, line: 7 } }),
      makeRow(5, { source: { file: 1, line: 8 }, extra: { hard: "very" } }),
    ];
    const given = config({ curriculum_key: "hard", data_file_paths: ["a.jsonl", "b.jsonl"] });
    expect(() => createSampler(rows, given)).toThrow(
      expect.objectContaining({
        code: "DATA_CURRICULUM",
        message: expect.stringMatching(
          /b\.jsonl:7 {2}"hard" is missing,.*[^]*b\.jsonl:8 {2}"hard" is "very"/,
        ) as string,
      }) as Error,
    );
  });

  it.each([
    [{ curriculum_mix: 0.5 }, "curriculum_mix is 0.5, and there is no curriculum"],
    [{ curriculum_order: "descending" }, 'curriculum_order is "descending", and there is no curriculum'],
    [{ curriculum_key: "mos", curriculum_mix: 0.5, shuffle_dataset: false }, "there is no shuffle to mix with"],
    [{ batch_datasets: "mixed", batch_groups: "one" }, "a group lies in one data set"],
    [
      { batch_datasets: "mixed", batch_groups: "apart", dataset_weights: "uniform" },
      "a batch cannot keep both its shares and its groups",
    ],
  ] as const)("refuses %j, which could not be honoured", (given, message) => {
    expect(() => createSampler(makeRows(8), config(given))).toThrow(message);
  });
});

describe("shuffle_dataset false", () => {
  it("takes the rows as they stand in the files, pass after pass", () => {
    const ids = batchesOf(makeRows(6), config({ shuffle_dataset: false, num_train_epochs: 2 })).flatMap(idsOf);
    expect(ids.map((id) => Number(id.split(" ")[1]))).toEqual([0, 1, 2, 3, 4, 5, 0, 1, 2, 3, 4, 5]);
  });

  it("deals data sets out evenly", () => {
    const rows = [...makeRows(24, { dataset: "a" }), ...makeRows(8, { dataset: "b" })];
    const order = batchesOf(rows, config({ shuffle_dataset: false })).map((batch) => batch.rows[0]!.dataset);
    expect(order).toEqual(["a", "a", "b", "a", "a", "a", "b", "a"]);
  });
});
