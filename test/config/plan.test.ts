/**
 * The plan of a run, by hand-counted examples and by what must hold for all.
 *
 * @module
 */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { planRun, resolveConfig } from "../../src/config/index.js";
import type { ConfigInput, RunFacts, RunPlan } from "../../src/config/index.js";
import { createSampler } from "../../src/data/index.js";
import { makeRows } from "../data/build.js";
import { orderCounts } from "../data/orders.js";

const resolve = (input: Partial<ConfigInput>) => resolveConfig({ model_name_or_path: "m", ...input });

/** Of data sets with these numbers of rows. */
function plan(input: Partial<ConfigInput>, rows: Readonly<Record<string, number>>, heldOutRows = 0): RunPlan {
  const config = resolve(input);
  return planRun(config, { order: orderCounts(rows, config), heldOutRows });
}

it("counts the paper's recipe on one device", () => {
  const recipe = { per_device_train_batch_size: 48, num_train_epochs: 10, save_steps: 50 };
  const { saveSteps, ...counted } = plan(recipe, { "KADID-10K": 6125 });
  expect(counted).toEqual({
    datasets: [{ name: "KADID-10K", rows: 6125, rollouts: 7656, leftOver: 2 }],
    rows: 6125,
    heldOutRows: 0,
    epochs: 10,
    promptsPerStep: 8,
    completionsPerRollout: 48,
    completionsPerUpdate: 48,
    updatesPerRollout: 1,
    rollouts: 7656,
    steps: 7656,
    leftOver: 2,
    warmupSteps: 0,
    firstLearningRate: 1e-6,
    lastLearningRate: 1e-6 * (1 / 7656),
    evalSteps: [],
  });
  expect(saveSteps).toHaveLength(154);
  expect(saveSteps.slice(-2)).toEqual([7650, 7656]);
});

it("counts each data set for itself, since batches hold rows of one only", () => {
  const counted = plan({ prompts_per_step: 4, num_train_epochs: 2 }, { a: 9, b: 5 });
  expect(counted.datasets).toEqual([
    { name: "a", rows: 9, rollouts: 4, leftOver: 2 },
    { name: "b", rows: 5, rollouts: 2, leftOver: 2 },
  ]);
  expect(counted).toMatchObject({ rollouts: 6, steps: 6, leftOver: 4 });
});

describe("updates", () => {
  it("are counted per rollout batch and iteration", () => {
    const several = { prompts_per_step: 8, per_device_train_batch_size: 12, num_iterations: 2 };
    expect(plan(several, { a: 16 })).toMatchObject({ rollouts: 2, updatesPerRollout: 8, steps: 16 });
  });

  it("end at max_steps, after as many passes as that takes", () => {
    const counted = plan({ prompts_per_step: 4, max_steps: 10, num_iterations: 2, num_train_epochs: 1 }, { a: 8 });
    expect(counted).toMatchObject({ rollouts: 5, steps: 10, epochs: 2.5, leftOver: 0 });
    expect(counted.datasets[0]!.rollouts).toBeNull();
  });
});

describe("points in time", () => {
  it("save at the end of the batch in which a multiple falls, and at the end", () => {
    const input = { prompts_per_step: 4, num_iterations: 4, max_steps: 28, save_steps: 10 };
    expect(plan(input, { a: 100 }).saveSteps).toEqual([12, 20, 28]);
  });

  it("evaluate at the end alone, or every eval_steps, and never without held-out rows", () => {
    const input = { prompts_per_step: 4, max_steps: 6, val_split_ratio: 0.1 };
    expect(plan(input, { a: 100 }, 10).evalSteps).toEqual([6]);
    expect(plan({ ...input, eval_steps: 4 }, { a: 100 }, 10).evalSteps).toEqual([4, 6]);
    expect(plan({ ...input, eval_steps: 4 }, { a: 100 }, 0).evalSteps).toEqual([]);
  });

  it("warm up over a number or a share of the steps, rounded up", () => {
    const input = { max_steps: 15, learning_rate: 1 };
    expect(plan({ ...input, warmup_ratio: 0.1 }, { a: 100 })).toMatchObject({ warmupSteps: 2, firstLearningRate: 0 });
    expect(plan({ ...input, warmup_steps: 5 }, { a: 100 }).lastLearningRate).toBe(0.1);
  });
});

it("refuses data that fill no batch, with both numbers", () => {
  const datasets = [
    { name: "a", rows: 7, rollouts: 0, leftOver: 7 },
    { name: "b", rows: 3, rollouts: 0, leftOver: 3 },
  ];
  const of = (input: Partial<ConfigInput>, order: RunFacts["order"]) => () => planRun(resolve(input), { order });
  expect(of({ prompts_per_step: 8 }, { datasets, batches: 0, leftOver: 0 })).toThrowError(
    expect.objectContaining({
      code: "CONFIG_NO_STEPS",
      message:
        "The data fill no batch: a has 7, b has 3 rows, num_train_epochs is 1, and a batch takes 8 rows of one data set " +
        "(prompts_per_step). Give more rows, more epochs, or fewer prompts per step.",
    }) as Error,
  );
  expect(of({ max_steps: 8 }, { datasets: [], batches: Infinity, leftOver: 0 })).toThrowError(/there are no rows/);
});

it("accounts for every row of whole epochs, and ends where its last save point is", () => {
  const rows = fc.dictionary(fc.constantFrom("a", "b", "c"), fc.integer({ min: 12, max: 300 }), { minKeys: 1 });
  fc.assert(
    fc.property(
      rows,
      fc.integer({ min: 2, max: 12 }),
      fc.integer({ min: 1, max: 4 }),
      fc.integer({ min: 1, max: 3 }),
      fc.integer({ min: 1, max: 20 }),
      (counts, prompts_per_step, num_train_epochs, num_iterations, save_steps) => {
        const made = plan({ prompts_per_step, num_train_epochs, num_iterations, save_steps }, counts);
        const drawn = Object.values(counts).reduce((sum, count) => sum + count * num_train_epochs, 0);
        expect(made.rollouts * prompts_per_step + made.leftOver).toBe(drawn);
        expect(made.steps).toBe(made.rollouts * num_iterations);
        expect(made.saveSteps.at(-1)).toBe(made.steps);
        expect(made.saveSteps.every((step) => step % num_iterations === 0)).toBe(true);
      },
    ),
  );
});

it("agrees with the sampler on batches and rows left over", () => {
  const counts = fc.dictionary(fc.constantFrom("a", "b", "c"), fc.integer({ min: 5, max: 60 }), { minKeys: 1 });
  fc.assert(
    fc.property(
      counts,
      fc.integer({ min: 2, max: 5 }),
      fc.constantFrom(1, 1.5, 2, 3),
      fc.constantFrom(-1, 4, 10),
      fc.constantFrom(1, 2),
      fc.boolean(),
      (rows, prompts_per_step, num_train_epochs, max_steps, num_iterations, dataloader_drop_last) => {
        const input = { prompts_per_step, num_train_epochs, max_steps, num_iterations, dataloader_drop_last };
        const config = resolve(input);
        const all = Object.entries(rows).flatMap(([dataset, count]) => makeRows(count, { dataset }));
        const sampler = createSampler(all, config);
        const made = planRun(config, { order: sampler.counts });
        expect(sampler.batches).toBe(made.rollouts);
        if (max_steps === -1) {
          const leftOver = Object.fromEntries(made.datasets.map((dataset) => [dataset.name, dataset.leftOver]));
          expect(sampler.leftOver).toEqual(leftOver);
        }
      },
    ),
  );
});
