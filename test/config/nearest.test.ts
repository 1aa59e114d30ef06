/**
 * Slips of the pen: the edit distance, and which name is offered.
 *
 * @module
 */
import fc from "fast-check";
import { expect, it } from "vitest";
import { editDistance, nearestName } from "../../src/config/nearest.js";

it.each([
  ["", "", 0],
  ["", "abc", 3],
  ["kitten", "sitting", 3],
  ["beta", "bate", 2],
  ["bf16", "bf61", 1],
  ["num_generation", "num_generations", 1],
  ["ca", "abc", 3],
])("counts the edits from %s to %s", (from, to, distance) => {
  expect(editDistance(from, to)).toBe(distance);
  expect(editDistance(to, from)).toBe(distance);
});

it("is 0 for equal texts only, and never exceeds the longer text", () => {
  fc.assert(
    fc.property(fc.string({ maxLength: 12 }), fc.string({ maxLength: 12 }), (from, to) => {
      const distance = editDistance(from, to);
      expect(distance === 0).toBe(from === to);
      expect(distance).toBeLessThanOrEqual(Math.max(from.length, to.length));
      expect(distance).toBeGreaterThanOrEqual(Math.abs(from.length - to.length));
    }),
  );
});

it("offers the nearest name, and none when nothing is near", () => {
  const known = ["epsilon", "epsilon_high", "beta"];
  expect(nearestName("epsilom", known)).toBe("epsilon");
  expect(nearestName("epsilon_hihg", known)).toBe("epsilon_high");
  expect(nearestName("betta", known)).toBe("beta");
  expect(nearestName("gradient", known)).toBeNull();
});

it("offers the name of which only the beginning was written, if that is more than a syllable", () => {
  const known = ["entropy_coefficient", "top_entropy_quantile"];
  expect(nearestName("entropy_coef", known)).toBe("entropy_coefficient");
  expect(nearestName("entro", known)).toBeNull();
});
