import fc from "fast-check";
import { expect, it } from "vitest";
import { createPasses } from "../../../src/data/order/passes.js";
import { createRowStream } from "../../../src/data/order/row-stream.js";
import { createSchedule } from "../../../src/data/order/schedule.js";
import { foldKey } from "../../../src/stats/index.js";

/** Passes, and which of them were laid out. */
function watched(rows: number) {
  const made = new Set<number>();
  const { ordered } = createPasses({
    rows,
    keyOf: (pass) => {
      made.add(pass);
      return foldKey(3, pass);
    },
    curriculum: null,
  });
  return { passes: ordered, made };
}

it("lays out a pass and the one before it for a batch far ahead, and nothing else", () => {
  const { passes, made } = watched(100);
  const stream = createRowStream({ rows: 100, size: 8, draws: "fixed", passes });
  // Places 1_000_000_000 to 1_000_000_007 begin pass 10_000_000.
  const rows = stream(1_000_000_000, 8);
  expect(new Set(rows).size).toBe(8);
  expect([...made].toSorted((a, b) => a - b)).toEqual([9_999_999, 10_000_000]);
});

it("gives the same rows backwards, in any jumps, as forwards", () => {
  const cases = fc.record({
    size: fc.integer({ min: 1, max: 5 }),
    more: fc.nat({ max: 20 }),
    jumps: fc.array(fc.nat({ max: 30 }), { minLength: 1, maxLength: 10 }),
  });
  fc.assert(
    fc.property(cases, ({ size, more, jumps }) => {
      const rows = size + more;
      const stream = createRowStream({ rows, size, draws: "fixed", passes: watched(rows).passes });
      const forwards = Array.from({ length: 31 }, (_, batch) => stream(batch * size, size));
      const jumping = createRowStream({ rows, size, draws: "fixed", passes: watched(rows).passes });
      for (const batch of jumps) expect(jumping(batch * size, size)).toEqual(forwards[batch]);
    }),
  );
});

it("draws any number from anywhere without a row twice", () => {
  const cases = fc.record({
    size: fc.integer({ min: 1, max: 5 }),
    more: fc.nat({ max: 20 }),
    from: fc.nat({ max: 300 }),
  });
  fc.assert(
    fc.property(cases, ({ size, more, from }) => {
      const rows = 2 * size + more;
      const stream = createRowStream({ rows, size, draws: "any", passes: watched(rows).passes });
      for (let count = 0; count <= size; count += 1) expect(new Set(stream(from, count)).size).toBe(count);
    }),
  );
});

it("lays out one epoch of the schedule for a step far ahead", () => {
  const made: number[] = [];
  const slotOf = createSchedule({
    sets: [
      { rowsPerEpoch: 30, limit: Infinity },
      { rowsPerEpoch: 10, limit: Infinity },
    ],
    promptsPerStep: 4,
    keyOf: (epoch) => {
      made.push(epoch);
      return BigInt(epoch);
    },
  });
  // 40 rows an epoch: the first 1000 complete 7500 + 2500 batches.
  expect(slotOf(10_000)).toMatchObject({ epoch: 1000 });
  expect(made).toEqual([1000]);
});
