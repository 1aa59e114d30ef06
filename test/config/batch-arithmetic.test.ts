/**
 * Counting prompts, completions, updates and batches.
 *
 * @module
 */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { batchSizes, countBatches, isDue } from "../../src/config/index.js";

const keys = {
  num_generations: 6,
  num_iterations: 1,
  prompts_per_step: null,
  per_device_train_batch_size: null,
  gradient_accumulation_steps: 1,
  num_processes: 1,
};

describe("batchSizes", () => {
  it.each([
    ["nothing is given", {}, [8, 48, 48, 1]],
    ["prompts alone are given", { prompts_per_step: 24 }, [24, 144, 144, 1]],
    ["the paper's device batch is given", { per_device_train_batch_size: 48 }, [8, 48, 48, 1]],
    ["passes are accumulated", { per_device_train_batch_size: 4, gradient_accumulation_steps: 6 }, [4, 24, 24, 1]],
    ["two processes work on it", { per_device_train_batch_size: 24, num_processes: 2 }, [8, 48, 48, 1]],
    ["updates are smaller than the batch", { prompts_per_step: 8, per_device_train_batch_size: 12 }, [8, 48, 12, 4]],
    [
      "batches are used twice",
      { prompts_per_step: 8, per_device_train_batch_size: 12, num_iterations: 2 },
      [8, 48, 12, 8],
    ],
    ["groups are of another size", { per_device_train_batch_size: 48, num_generations: 4 }, [12, 48, 48, 1]],
  ])("when %s", (_, given, [prompts, batch, update, updates]) => {
    expect(batchSizes({ ...keys, ...given })).toEqual({
      promptsPerStep: prompts,
      completionsPerBatch: batch,
      completionsPerUpdate: update,
      updatesPerBatch: updates,
    });
  });
});

describe("countBatches", () => {
  it.each([
    [6125, 1, 8, 765, 5],
    [6125, 10, 8, 7656, 2],
    [30, 0.1, 3, 1, 0],
    [10, 0.75, 4, 1, 3],
    [7, 1, 8, 0, 7],
    [7, 8, 8, 7, 0],
    [0, 3, 8, 0, 0],
  ])(
    "%i rows, %d epochs, %i prompts a step: %i batches and %i rows over",
    (rows, epochs, promptsPerStep, batches, leftOver) => {
      expect(countBatches({ rows, epochs, promptsPerStep })).toEqual({ batches, leftOver });
    },
  );

  it("loses no row of whole epochs, and leaves less than a batch over", () => {
    const count = fc.integer({ min: 1, max: 5000 });
    fc.assert(
      fc.property(
        count,
        fc.integer({ min: 1, max: 50 }),
        fc.integer({ min: 1, max: 200 }),
        (rows, epochs, promptsPerStep) => {
          const { batches, leftOver } = countBatches({ rows, epochs, promptsPerStep });
          expect(batches * promptsPerStep + leftOver).toBe(rows * epochs);
          expect(leftOver).toBeLessThan(promptsPerStep);
        },
      ),
    );
  });
});

it("finds something due at the end of the rollout batch in which its multiple falls", () => {
  const due = (updatesPerBatch: number, every: number, last: number): number[] =>
    Array.from({ length: last / updatesPerBatch }, (_, index) => (index + 1) * updatesPerBatch).filter((step) =>
      isDue({ step, every, updatesPerBatch }),
    );
  expect(due(1, 3, 9)).toEqual([3, 6, 9]);
  expect(due(4, 10, 40)).toEqual([12, 20, 32, 40]);
  expect(due(4, 1, 12)).toEqual([4, 8, 12]);
});
