import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { packedTokens, planParts, planPrompts } from "../../src/policy/planner.js";
import type { TrainGroup } from "../../src/policy/index.js";
import { emptyGroup as group } from "../support/policy.js";

const batches = fc
  .array(
    fc.tuple(
      fc.integer({ min: 1, max: 60 }),
      fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 8 }),
    ),
    {
      maxLength: 12,
    },
  )
  .map((shapes) => {
    let at = 0;
    return shapes.map(([prompt, completions]) => {
      const made = group(at, prompt, completions);
      at += completions.length;
      return made;
    });
  });

const indices = (groups: readonly TrainGroup[]): number[] =>
  groups.flatMap((one) => one.sequences.map((_, sample) => one.firstIndex + sample));

describe("planParts", () => {
  it("holds every completion exactly once, in order, with its position in the batch", () => {
    fc.assert(
      fc.property(
        batches,
        fc.integer({ min: 1, max: 10 }),
        fc.integer({ min: 1, max: 900 }),
        (groups, maxSequences, maxTokens) => {
          const parts = planParts(groups, { maxSequences, maxTokens });
          expect(parts.flatMap(indices)).toEqual(indices(groups));
          expect(parts.flatMap((part) => part.flatMap((one) => one.sequences))).toEqual(
            groups.flatMap((one) => one.sequences),
          );
        },
      ),
    );
  });

  it("keeps to both limits unless a single completion alone exceeds the tokens", () => {
    fc.assert(
      fc.property(
        batches,
        fc.integer({ min: 1, max: 10 }),
        fc.integer({ min: 1, max: 900 }),
        (groups, maxSequences, maxTokens) => {
          for (const part of planParts(groups, { maxSequences, maxTokens })) {
            expect(indices(part).length).toBeLessThanOrEqual(maxSequences);
            if (indices(part).length > 1) expect(packedTokens(part)).toBeLessThanOrEqual(maxTokens);
          }
        },
      ),
    );
  });

  it("keeps groups whole where they fit", () => {
    const groups = [group(0, 10, [5, 5, 5]), group(3, 10, [5, 5, 5]), group(6, 10, [5, 5, 5])];
    expect(planParts(groups, { maxSequences: 7 }).map(indices)).toEqual([
      [0, 1, 2, 3, 4, 5],
      [6, 7, 8],
    ]);
  });

  it("cuts a group that is larger than a part", () => {
    expect(planParts([group(4, 10, [5, 5, 5, 5, 5])], { maxSequences: 2 }).map(indices)).toEqual([[4, 5], [6, 7], [8]]);
  });
});

describe("a target of tokens", () => {
  it("lets groups join up to it, and leaves a larger one whole", () => {
    const groups = [group(0, 10, [5, 5]), group(2, 10, [5, 5]), group(4, 30, [9, 9]), group(6, 10, [5, 5])];
    expect(planParts(groups, { targetTokens: 45 }).map(indices)).toEqual([
      [0, 1, 2, 3],
      [4, 5],
      [6, 7],
    ]);
  });

  it("never exceeds the limit", () => {
    fc.assert(
      fc.property(
        batches,
        fc.integer({ min: 1, max: 200 }),
        fc.integer({ min: 101, max: 300 }),
        (groups, targetTokens, maxTokens) => {
          for (const part of planParts(groups, { targetTokens, maxTokens })) {
            if (part.length > 1) expect(packedTokens(part)).toBeLessThanOrEqual(Math.min(targetTokens, maxTokens));
            if (indices(part).length > 1) expect(packedTokens(part)).toBeLessThanOrEqual(maxTokens);
          }
        },
      ),
    );
  });
});

describe("planPrompts", () => {
  it("asks for every prompt once, in order", () => {
    const prompts = Array.from({ length: 50 }, (_, index) => ({ tokenIds: new Int32Array(1000), index }));
    const calls = planPrompts(prompts, 6, 200);
    expect(calls.flat()).toEqual(prompts);
    expect(calls.map((call) => call.length)).toEqual([18, 18, 14]);
  });
});
