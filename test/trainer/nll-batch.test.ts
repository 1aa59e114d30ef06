import fc from "fast-check";
import { expect, it } from "vitest";
import { planParts } from "../../src/policy/index.js";
import { toNllBatch } from "../../src/trainer/nll-batch.js";

const image = (key: string) => ({ key, height: 28, width: 28 });

it("gives every answer token one over the number of all of them, and an advantage of 1", () => {
  const batch = toNllBatch([
    { prompt: { tokenIds: Int32Array.of(1, 2), images: [] }, answers: [Int32Array.of(5, 6, 7)] },
    { prompt: { tokenIds: Int32Array.of(3), images: [image("a")] }, answers: [Int32Array.of(8), Int32Array.of(9)] },
  ]);
  expect(batch.groups.map(({ firstIndex, sequences }) => [firstIndex, sequences.length])).toEqual([
    [0, 1],
    [1, 2],
  ]);
  const sequences = batch.groups.flatMap((group) => group.sequences);
  expect(sequences.map(({ weights }) => [...weights])).toEqual(
    [3, 1, 1].map((length) => Array.from({ length }, () => Math.fround(1 / 5))),
  );
  expect(sequences.flatMap(({ advantages }) => [...advantages])).toEqual([1, 1, 1, 1, 1]);
});

it("joins prompts of the same ids and the same pictures, and no others", () => {
  const prompt = (ids: number[], ...keys: string[]) => ({ tokenIds: Int32Array.from(ids), images: keys.map(image) });
  const answers = (id: number) => [Int32Array.of(id)];
  const batch = toNllBatch([
    { prompt: prompt([1, 2], "a"), answers: answers(10) },
    { prompt: prompt([1, 2], "b"), answers: answers(11) },
    { prompt: prompt([12], "a"), answers: answers(12) },
    { prompt: prompt([1, 2], "a"), answers: answers(13) },
  ]);
  const ids = batch.groups.map(({ sequences }) => sequences.map(({ tokenIds }) => tokenIds[0]));
  expect(ids).toEqual([[10, 13], [11], [12]]);
  expect(batch.groups.map(({ firstIndex }) => firstIndex)).toEqual([0, 2, 3]);
});

it("adds up to one over all parts, however the update is cut into parts", () => {
  const lengths = fc.array(fc.integer({ min: 1, max: 20 }), { minLength: 1, maxLength: 20 });
  fc.assert(
    fc.property(
      lengths,
      fc.integer({ min: 1, max: 200 }),
      fc.integer({ min: 1, max: 8 }),
      (all, maxTokens, maxSequences) => {
        const examples = all.map((length, index) => ({
          prompt: { tokenIds: Int32Array.of(index % 3, 1), images: [] },
          answers: [new Int32Array(length).fill(index)],
        }));
        const parts = planParts(toNllBatch(examples).groups, { maxTokens, maxSequences });
        const weights = parts.flat().flatMap(({ sequences }) => sequences.flatMap((one) => [...one.weights]));
        expect(weights.length).toBe(all.reduce((sum, length) => sum + length, 0));
        expect(weights.reduce((sum, weight) => sum + weight, 0)).toBeCloseTo(1, 5);
      },
    ),
  );
});
