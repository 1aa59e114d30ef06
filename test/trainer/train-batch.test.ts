import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { splitUpdates } from "../../src/policy/index.js";
import type { RolloutGroup, TrainBatch } from "../../src/policy/index.js";
import { toTrainBatch } from "../../src/trainer/index.js";
import type { TrainBatchOptions } from "../../src/trainer/index.js";

function groupOf(lengths: readonly number[], prompt = 3): RolloutGroup {
  return {
    prompt: {
      row: {},
      tokenIds: new Int32Array(prompt).fill(7),
      images: [{ key: "k", height: 28, width: 28 }],
      source: { file: 0, line: 1 },
    },
    completions: lengths.map((length, index) => ({
      text: "",
      tokenIds: new Int32Array(length).fill(index),
      logprobs: new Float32Array(length),
      finishReason: "stop",
    })),
  };
}

const shapes = fc.array(fc.array(fc.integer({ min: 1, max: 50 }), { minLength: 1, maxLength: 6 }), {
  minLength: 1,
  maxLength: 9,
});
const ones = (shape: readonly (readonly number[])[]): number[][] => shape.map((group) => group.map(() => 1));
const weightsOf = (batch: TrainBatch): number[][] =>
  batch.groups.flatMap((group) => group.sequences.map((sequence) => [...sequence.weights]));
const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);

describe("the weights of an update", () => {
  it.each(["grpo", "dapo"] as const)(
    "add up to 1 with %s, whatever the lengths and the number of updates",
    (normaliser) => {
      fc.assert(
        fc.property(shapes, fc.integer({ min: 1, max: 9 }), (shape, wanted) => {
          const updates = Math.min(wanted, shape.length);
          const batch = toTrainBatch(
            shape.map((lengths) => groupOf(lengths)),
            ones(shape),
            { normaliser, updates },
          );
          for (const update of splitUpdates(batch, updates)) expect(sum(weightsOf(update).flat())).toBeCloseTo(1, 5);
        }),
      );
    },
  );

  it("are equal for every completion with grpo, and for every token with dapo", () => {
    fc.assert(
      fc.property(shapes, (shape) => {
        const groups = shape.map((lengths) => groupOf(lengths));
        const count = shape.flat().length;
        for (const weights of weightsOf(toTrainBatch(groups, ones(shape))))
          expect(sum(weights)).toBeCloseTo(1 / count, 6);
        const tokens = weightsOf(toTrainBatch(groups, ones(shape), { normaliser: "dapo" })).flat();
        expect(new Set(tokens)).toEqual(new Set([Math.fround(1 / sum(shape.flat()))]));
      }),
    );
  });

  it("add up to the mean share of the longest length allowed with dr_grpo", () => {
    fc.assert(
      fc.property(shapes, fc.integer({ min: 1, max: 9 }), (shape, wanted) => {
        const updates = Math.min(wanted, shape.length);
        const options = { normaliser: "dr_grpo", maxCompletionLength: 64, updates } as const;
        const batch = toTrainBatch(
          shape.map((lengths) => groupOf(lengths)),
          ones(shape),
          options,
        );
        for (const update of splitUpdates(batch, updates)) {
          const lengths = update.groups.flatMap((group) => group.sequences.map(({ tokenIds }) => tokenIds.length));
          expect(sum(weightsOf(update).flat())).toBeCloseTo(sum(lengths) / (lengths.length * 64), 5);
        }
      }),
    );
  });
});

describe("toTrainBatch", () => {
  it("carries ids, pictures, positions and advantages, completion by completion", () => {
    const batch = toTrainBatch([groupOf([2, 1]), groupOf([3], 5)], [[0.5, -0.5], [2]]);
    expect(batch.groups).toEqual([
      {
        promptIds: new Int32Array([7, 7, 7]),
        images: [{ key: "k", height: 28, width: 28 }],
        firstIndex: 0,
        sequences: [
          {
            tokenIds: new Int32Array([0, 0]),
            advantages: new Float32Array([0.5, 0.5]),
            weights: new Float32Array(2).fill(1 / 6),
          },
          { tokenIds: new Int32Array([1]), advantages: new Float32Array([-0.5]), weights: new Float32Array([1 / 3]) },
        ],
      },
      {
        promptIds: new Int32Array(5).fill(7),
        images: [{ key: "k", height: 28, width: 28 }],
        firstIndex: 2,
        sequences: [
          {
            tokenIds: new Int32Array(3),
            advantages: new Float32Array(3).fill(2),
            weights: new Float32Array(3).fill(1 / 9),
          },
        ],
      },
    ]);
  });

  it("gives every batch a name of its own", () => {
    const make = (): string => toTrainBatch([groupOf([1])], [[0]]).id;
    expect(make()).not.toBe(make());
  });

  it("multiplies advantages by the factors of each token, and leaves weights alone", () => {
    const factors = [[[2, 0], [1]], [[0.5, 1, 3]]];
    const batch = toTrainBatch([groupOf([2, 1]), groupOf([3])], [[0.5, -0.5], [2]], { factors });
    const advantages = batch.groups.flatMap((group) => group.sequences.map((one) => [...one.advantages]));
    expect(advantages).toEqual([[1, 0], [-0.5], [1, 2, 6]]);
    expect(weightsOf(batch)).toEqual(weightsOf(toTrainBatch([groupOf([2, 1]), groupOf([3])], [[0, 0], [0]])));
  });

  it("weighs truncated completions 0, update by update, and keeps the others' weights", () => {
    const groups = [groupOf([2, 1]), groupOf([3, 4])];
    const truncated = [
      [false, true],
      [false, false],
    ];
    const kept = weightsOf(
      toTrainBatch(
        groups,
        ones([
          [1, 1],
          [1, 1],
        ]),
        { truncated, normaliser: "dapo", updates: 2 },
      ),
    );
    expect(kept).toEqual([
      [0.5, 0.5],
      [0],
      Array.from({ length: 3 }, () => Math.fround(1 / 7)),
      Array.from({ length: 4 }, () => Math.fround(1 / 7)),
    ]);
  });

  it("takes the name under which the worker already keeps log-probabilities", () => {
    expect(toTrainBatch([groupOf([1])], [[0]], { id: "kept" }).id).toBe("kept");
  });

  it("refuses factors and marks of another shape, or factors that are no numbers", () => {
    const make = (options: TrainBatchOptions) => () => toTrainBatch([groupOf([2])], [[1]], options);
    expect(make({ factors: [] })).toThrow("factors of shape [] for completions of shape [1]");
    expect(make({ factors: [[[1]]] })).toThrow("completion 0 of prompt 0 has 2 tokens");
    expect(make({ factors: [[[1, Number.NaN]]] })).toThrow("as many finite factors, not [1, NaN]");
    expect(make({ truncated: [[true, true]] })).toThrow("truncation marks of shape [2]");
  });

  it("refuses advantages of another shape, or that are no numbers", () => {
    const groups = [groupOf([1, 1]), groupOf([1])];
    expect(() => toTrainBatch(groups, [[1, 1]])).toThrow("advantages of shape [2] for completions of shape [2, 1]");
    expect(() => toTrainBatch(groups, [[1], [1, 1]])).toThrow(RangeError);
    expect(() => toTrainBatch(groups, [[1, Number.NaN], [1]])).toThrow("not finite");
  });

  it("needs the longest length for dr_grpo, and no more updates than prompts", () => {
    expect(() => toTrainBatch([groupOf([1])], [[1]], { normaliser: "dr_grpo" })).toThrow("maxCompletionLength");
    expect(() => toTrainBatch([groupOf([1])], [[1]], { updates: 2 })).toThrow("1 prompts cannot be cut into 2 updates");
  });
});
