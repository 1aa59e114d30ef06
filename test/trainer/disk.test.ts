import { existsSync, readFileSync, readdirSync, rmSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { WorkerError } from "../../src/errors.js";
import { train } from "../../src/index.js";
import type { TrainOptions } from "../../src/index.js";
import { verifyCheckpoint } from "../../src/runs/index.js";
import { createFakeWorker } from "../../src/testing/index.js";
import { createDataSet } from "../support/data-set.js";
import type { DataSet } from "../support/data-set.js";
import { meddle, runFake } from "../support/fake-run.js";

let set: DataSet;
beforeAll(async () => {
  set = await createDataSet();
  await runFake(set.config("undisturbed"));
});
afterAll(() => set.remove());

/** Linux's device on which every write finds the disk full. */
const FULL = "/dev/full";

/** What a finished run in `name` left, by file. */
function recordOf(name: string): string[] {
  const files = ["metrics.jsonl", "rollouts/step_000003.jsonl", "rollouts/step_000004.jsonl", "model/weight.json"];
  return files.map((file) => readFileSync(join(set.config(name).output_dir!, file), "utf8"));
}

/** How the run in `name` failed; its checkpoint of step 2 must be whole, and the run must go on as if nothing had been. */
async function failure(name: string, options: TrainOptions): Promise<unknown> {
  const config = set.config(name);
  const error: unknown = await train(config, options).result.catch((one: unknown) => one);
  const checkpoints = join(config.output_dir!, "checkpoints");
  expect(readdirSync(checkpoints)).toEqual(["step_000002"]);
  await verifyCheckpoint(join(checkpoints, "step_000002"));
  // Someone makes room.
  rmSync(join(config.output_dir!, "rollouts/step_000003.jsonl.partial"), { force: true });
  const resumed = await runFake({ ...config, resume_from_checkpoint: true });
  expect(resumed.result.step).toBe(4);
  expect(recordOf(name)).toEqual(recordOf("undisturbed"));
  return error;
}

const diskFull = { name: "RunError", code: "RUN_WRITE_FAILED" };

describe.runIf(existsSync(FULL))("when the disk is full, the run says so and its last checkpoint stays whole:", () => {
  it("while completions are written", async () => {
    const error = await failure("rollouts", {
      connect: createFakeWorker().connect,
      callbacks: {
        onStep({ step, folder }) {
          if (step === 2) symlinkSync(FULL, join(folder, "rollouts/step_000003.jsonl.partial"));
        },
      },
    });
    expect(error).toMatchObject(diskFull);
    expect((error as Error).message).toContain("The disk is full: free some space, then resume the run.");
  });

  it("while the trainer's part of a checkpoint is written", async () => {
    const worker = createFakeWorker();
    let saves = 0;
    const connect = meddle(worker, {
      before(method, params) {
        if (method === "save" && ++saves === 2) symlinkSync(FULL, join(params["path"] as string, "trainer.json"));
      },
    });
    const error = await failure("checkpoint", { connect });
    expect(error).toMatchObject(diskFull);
    expect((error as Error).message).toMatch(/cannot write .*step_000004\.partial\/trainer\.json: ENOSPC/);
    expect(worker.open).toBe(0);
  });

  it("while the worker writes its part", async () => {
    const cause = new WorkerError("WRITE_FAILED", "cannot write weights: No space left on device. Free space.");
    let saves = 0;
    const connect = meddle(createFakeWorker(), {
      before(method) {
        if (method === "save" && ++saves === 2) throw cause;
      },
    });
    const error = await failure("worker", { connect });
    expect(error).toMatchObject({ ...diskFull, cause });
    expect((error as Error).message).toBe(`${cause.message} Then resume the run.`);
  });
});
