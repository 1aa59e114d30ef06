import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { TrainBatch } from "../../src/policy/index.js";
import { packedTokens } from "../../src/policy/planner.js";
import { createRankPlanner, inOrder, padded, spread } from "../../src/policy/rank-planner.js";
import { foldKey, uniform } from "../../src/stats/index.js";
import { emptyGroup as group } from "../support/policy.js";

function batchOf(shapes: readonly (readonly [number, readonly number[]])[], id = "batch"): TrainBatch {
  let at = 0;
  return {
    id,
    groups: shapes.map(([prompt, completions]) => {
      const made = group(at, prompt, completions);
      at += completions.length;
      return made;
    }),
  };
}

const shapes = fc.array(
  fc.tuple(fc.integer({ min: 1, max: 60 }), fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 8 })),
  { maxLength: 40 },
);
const ranks = fc.integer({ min: 1, max: 256 });

describe("createRankPlanner", () => {
  it("gives every group to exactly one rank, whole and in order, and every rank as many parts", () => {
    fc.assert(
      fc.property(shapes, ranks, fc.integer({ min: 20, max: 900 }), (made, count, maxTokens) => {
        const batch = batchOf(made);
        const shares = createRankPlanner(count, { maxTokens }).share(batch);
        expect(shares).toHaveLength(count);
        expect(shares.flatMap(({ indices }) => indices).sort((a, b) => a - b)).toEqual([...batch.groups.keys()]);
        expect(new Set(shares.map(({ parts }) => parts.length)).size).toBe(1);
        for (const { indices, parts } of shares) {
          const own = indices.map((index) => batch.groups[index]!);
          expect(parts.flat().flatMap(({ sequences }) => sequences)).toEqual(own.flatMap(({ sequences }) => sequences));
        }
      }),
    );
  });

  it("leaves a group with the rank that has its log-probabilities, until it is told to forget", () => {
    fc.assert(
      fc.property(shapes, fc.integer({ min: 1, max: 8 }), (made, count) => {
        const batch = batchOf(made);
        const planner = createRankPlanner(count, {});
        const first = planner.share(batch);
        for (const [rank, { indices }] of first.entries()) {
          const alone = { id: batch.id, groups: indices.map((index) => batch.groups[index]!) };
          const again = planner.share(alone).map((share) => share.indices.length);
          expect(again).toEqual(padded([], count, 0).map((_, at) => (at === rank ? indices.length : 0)));
        }
        planner.clear();
        expect(planner.share(batch)).toEqual(first);
      }),
    );
  });
});

describe("spread", () => {
  it("keeps to the bound of its algorithm, and puts an item where it must be", () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 1000 }), { maxLength: 300 }), ranks, (sizes, count) => {
        // Graham 1969: the mean, and the longest item less its share.
        const bound = total(sizes) / count + (1 - 1 / count) * Math.max(0, ...sizes);
        expect(Math.max(...loadsOf(sizes, spread(sizes, count)))).toBeLessThanOrEqual(bound + 1e-9);
        const placed = spread(sizes, count, (index) => (index % 3 === 0 ? index % count : undefined));
        for (const [rank, share] of placed.entries()) {
          for (const index of share) if (index % 3 === 0) expect(index % count).toBe(rank);
        }
      }),
    );
  });

  it.each([
    ["answers of one length, pictures of one size", 0],
    ["answers whose lengths differ by half", 0.5],
    ["answers from a tenth to three times the usual length", 1],
  ])("stays within 5 %% of the lower bound for %s", (_, variation) => {
    let drawn = 0;
    const draw = (): number => uniform(foldKey(7, (drawn += 1)));
    for (const count of [2, 4, 8, 16, 64, 256]) {
      for (const perRank of [4, 8, 16]) {
        const groups = Array.from({ length: count * perRank }, () => {
          const prompt = 300 + Math.floor(draw() * 100 * (1 + 8 * variation));
          // Log-normal, as lengths of answers are.
          const length = (): number =>
            Math.min(600, Math.max(10, Math.round(120 * Math.exp(variation * gaussian(draw)))));
          return group(0, prompt, Array.from({ length: 6 }, length));
        });
        const sizes = groups.map((one) => packedTokens([one]));
        const least = Math.max(Math.max(...sizes), total(sizes) / count);
        const loads = loadsOf(sizes, spread(sizes, count));
        expect(Math.max(...loads) / least, `${count} ranks, ${perRank} groups each`).toBeLessThanOrEqual(1.05);
      }
    }
  });
});

it("inOrder undoes what spread did", () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: 99 }), { maxLength: 50 }), ranks, (sizes, count) => {
      const shares = spread(sizes, count);
      const results = shares.map((share) => share.map((index) => `item ${index}`));
      expect(inOrder(shares, results)).toEqual(sizes.map((_, index) => `item ${index}`));
    }),
  );
});

const total = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0);

function loadsOf(sizes: readonly number[], shares: readonly (readonly number[])[]): number[] {
  return shares.map((share) => total(share.map((index) => sizes[index]!)));
}

/** A draw of the standard normal distribution (Box and Muller 1958). */
function gaussian(draw: () => number): number {
  return Math.sqrt(-2 * Math.log(1 - draw())) * Math.cos(2 * Math.PI * draw());
}
