import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { CallbackError, train } from "../../src/index.js";
import type { EvaluateContext, SaveContext, StepContext } from "../../src/index.js";
import { createFakeWorker } from "../../src/testing/index.js";
import { createDataSet } from "../support/data-set.js";
import type { DataSet } from "../support/data-set.js";
import { eventsOf, runFake } from "../support/fake-run.js";

let set: DataSet;
beforeAll(async () => {
  set = await createDataSet();
});
afterAll(() => set.remove());

describe("callbacks", () => {
  it("receive what the events tell, and the run folder", async () => {
    const steps: StepContext[] = [];
    const saves: SaveContext[] = [];
    const evaluations: EvaluateContext[] = [];
    const config = set.config("values", { val_split_ratio: 0.25 });
    const { events } = await runFake(config, {
      callbacks: {
        onStep: (context) => void steps.push(context),
        onSave: (context) => void saves.push(context),
        onEvaluate: (context) => void evaluations.push(context),
      },
    });
    const folder = config.output_dir!;
    expect(steps).toEqual(eventsOf(events, "step-end").map(({ type: _type, ...event }) => ({ ...event, folder })));
    expect(steps[0]!.sample).toEqual({
      row: expect.any(String) as string,
      text: expect.stringContaining("<answer>") as string,
      reward: expect.any(Number) as number,
      mos: 1 + Number(steps[0]!.sample!.row) / 2,
    });
    expect(saves).toEqual([
      { step: 2, checkpoint: `${folder}/checkpoints/step_000002`, folder },
      { step: 4, checkpoint: `${folder}/checkpoints/step_000004`, folder },
    ]);
    expect(evaluations.map(({ step }) => step)).toEqual([0, 4]);
    expect(evaluations[0]).toMatchObject({
      folder,
      results: [{ dataset: "tiny", n: 2, estimators: { greedy: { scored: 2 } } }],
    });
  });

  it("are waited for", async () => {
    const order: string[] = [];
    const run = train(set.config("awaited", { max_steps: 2 }), {
      connect: createFakeWorker().connect,
      callbacks: {
        async onStep({ step }) {
          order.push(`step ${step} begins`);
          await new Promise((resolve) => setTimeout(resolve, 5));
          order.push(`step ${step} ends`);
        },
      },
    });
    await run.result;
    expect(order).toEqual(["step 1 begins", "step 1 ends", "step 2 begins", "step 2 ends"]);
  });

  it.each([
    ["onStep", 1],
    ["onSave", 2],
    ["onEvaluate", 0],
  ] as const)("%s that fails ends the run with its name and step, and closes the worker", async (callback, step) => {
    const worker = createFakeWorker();
    const cause = new Error("disk of the dashboard is full");
    const run = train(set.config(`failing-${callback}`, { val_split_ratio: 0.25 }), {
      connect: worker.connect,
      callbacks: {
        [callback]: () => {
          throw cause;
        },
      },
    });
    const error = await run.result.catch((failure: unknown) => failure);
    expect(error).toBeInstanceOf(CallbackError);
    expect(error).toMatchObject({
      code: "CALLBACK_FAILED",
      message: `the callback ${callback} failed at step ${step}: disk of the dashboard is full`,
      fields: { callback, step },
      cause,
    });
    expect(worker.open).toBe(0);
  });
});
