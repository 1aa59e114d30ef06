/**
 * Checkpoints that a real worker writes while it trains. What the machine does to it is real: a pipe that nobody reads, Linux's
 * device on which the disk is always full, SIGKILL.
 *
 * @module
 */
import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { variedReward } from "../../bench/support/fault-runs.js";
import type { PlainMap } from "../../src/bridge/index.js";
import { train } from "../../src/index.js";
import type { ConfigInput, TrainOptions } from "../../src/index.js";
import { verifyCheckpoint } from "../../src/runs/index.js";
import { connectPython } from "../../src/trainer/index.js";
import { meddle } from "../support/fake-run.js";
import { startReusedWorker } from "./reused-worker.js";
import type { ReusedWorker } from "./reused-worker.js";
import { recordOf, workersOf } from "./run-child.js";
import { createWorkspace } from "./workspace.js";
import type { Workspace } from "./workspace.js";

let workspace: Workspace;
let shared: ReusedWorker;
beforeAll(async () => {
  workspace = await createWorkspace();
  shared = await startReusedWorker(configOf("shared"));
});
afterAll(async () => {
  await shared[Symbol.asyncDispose]();
  workspace.remove();
});

const configOf = (name: string, more: Partial<ConfigInput> = {}): ConfigInput =>
  workspace.config(name, { async_save: true, save_steps: 1, ...more });

type Connect = NonNullable<TrainOptions["connect"]>;

const run = (config: ConfigInput, connect: Connect) =>
  train(config, { rewards: { varied: variedReward }, connect }).result;
const checkpointsOf = (config: ConfigInput): string => join(config.output_dir!, "checkpoints");

/** What the second checkpoint's weights are written into. */
function secondWeights(place: (path: string) => void): (method: string, params: PlainMap) => void {
  let writes = 0;
  return (method, params) => {
    if (method === "writeSnapshot" && ++writes === 2)
      place(join(params["path"] as string, ".weights.safetensors.partial"));
  };
}

it("a run that saves while it trains is the run that waits, to the bit", async () => {
  const [waiting, beside] = [configOf("waiting", { async_save: false }), configOf("beside")];
  await run(waiting, shared.connect);
  // Each is written while the next step's gradients are computed.
  let onPass = (): void => undefined;
  const overlapping = meddle(shared, {
    before(method) {
      if (method === "forwardBackward") onPass();
      return method === "writeSnapshot" ? new Promise<void>((resolve) => (onPass = resolve)) : undefined;
    },
  });
  await run(beside, overlapping);
  expect(recordOf(beside.output_dir!)).toEqual(recordOf(waiting.output_dir!));
  const steps = ["step_000001", "step_000002", "step_000003", "step_000004"];
  expect(readdirSync(checkpointsOf(beside)).sort()).toEqual(steps);
  for (const step of steps) {
    const [one, other] = await Promise.all(
      [waiting, beside].map((own) => verifyCheckpoint(join(checkpointsOf(own), step))),
    );
    expect(other!.files).toEqual(one!.files);
  }
});

describe("keeps the last good checkpoint, and goes on from it to the same end,", () => {
  async function resumed(config: ConfigInput): Promise<void> {
    expect(readdirSync(checkpointsOf(config))).toEqual(["step_000001"]);
    await verifyCheckpoint(join(checkpointsOf(config), "step_000001"));
    await run({ ...config, resume_from_checkpoint: true }, shared.connect);
    expect(recordOf(config.output_dir!)).toEqual(recordOf(configOf("waiting").output_dir!));
  }

  it("when the worker is killed while it writes", async () => {
    const config = configOf("killed");
    const others = workersOf(process.pid);
    const blocked = secondWeights((path) => execFileSync("mkfifo", [path]));
    const connect = meddle(
      { connect: (asked: Parameters<Connect>[0]) => connectPython(asked) },
      {
        before(method, params) {
          blocked(method, params);
          if (method !== "optimStep" || params["step"] !== 3) return;
          for (const pid of workersOf(process.pid)) if (!others.includes(pid)) process.kill(pid, "SIGKILL");
        },
      },
    );
    await expect(run(config, connect)).rejects.toMatchObject({
      code: "WORKER_DIED",
      message: expect.stringMatching(/The run can be resumed from step 1 \(resume_from_checkpoint\)\.$/) as string,
    });
    await resumed(config);
  });

  it.runIf(existsSync("/dev/full"))("when the disk is full", async () => {
    const config = configOf("full");
    const connect = meddle(shared, { before: secondWeights((path) => symlinkSync("/dev/full", path)) });
    await expect(run(config, connect)).rejects.toMatchObject({
      code: "RUN_WRITE_FAILED",
      message: expect.stringContaining("No space left on device") as string,
    });
    await resumed(config);
  });
});
