import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { cutIntoUpdates, splitUpdates } from "../../src/policy/index.js";
import type { TrainGroup } from "../../src/policy/index.js";

describe("cutIntoUpdates", () => {
  it("keeps every item, in order, in updates that differ by one at most and are never empty", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 60 }), fc.integer({ min: 1, max: 60 }), (count, wanted) => {
        const updates = Math.min(count, wanted);
        const items = Array.from({ length: count }, (_, index) => index);
        const cut = cutIntoUpdates(items, updates);
        expect(cut.flat()).toEqual(items);
        const sizes = cut.map(({ length }) => length);
        expect(Math.max(...sizes) - Math.min(...sizes)).toBeLessThanOrEqual(1);
        expect(Math.min(...sizes)).toBeGreaterThan(0);
        expect(cut.length).toBe(updates);
      }),
    );
  });

  it.each([0, 1.5, 4])("refuses %s updates of 3 prompts", (updates) => {
    expect(() => cutIntoUpdates([1, 2, 3], updates)).toThrow(RangeError);
  });
});

describe("splitUpdates", () => {
  it("keeps the batch's name and the positions of its completions", () => {
    const groups = [0, 2, 4, 6].map((firstIndex): TrainGroup => {
      return { promptIds: new Int32Array(1), images: [], firstIndex, sequences: [] };
    });
    expect(splitUpdates({ id: "b", groups }, 2)).toEqual([
      { id: "b", groups: groups.slice(0, 2) },
      { id: "b", groups: groups.slice(2) },
    ]);
  });
});
