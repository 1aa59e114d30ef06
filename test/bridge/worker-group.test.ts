/** Several workers as one group: they start together, and none outlives another. */
import { dirname } from "node:path";
import { existsSync, statSync } from "node:fs";
import { afterAll, afterEach, describe, expect, it } from "vitest";
import { startWorkers } from "../../src/bridge/index.js";
import { eventually, isAlive, ownTemporaryFolder, PYTHON, RUNTIME, selftestAfter } from "./selftest-worker.js";

const temporary = ownTemporaryFolder();
afterEach(() => expect(temporary.workerFolders()).toEqual([]));
afterAll(() => temporary.remove());

const options = {
  worldSize: 2,
  python: PYTHON,
  env: { PYTHONPATH: RUNTIME },
  args: ["-m", "thurstone_runtime", "--engine", "selftest"],
};

describe("a group of workers", () => {
  it("has a place to meet that is this user's, and when one is killed the others go, and say why", async () => {
    const group = await startWorkers(options);
    expect(group.workers.map(({ pid }) => isAlive(pid))).toEqual([true, true]);
    expect(existsSync(group.rendezvous)).toBe(false);
    expect(statSync(dirname(group.rendezvous)).mode & 0o777).toBe(0o700);
    const calls = group.callers.map((caller) => caller.call("sleep", { seconds: 60, steps: 1 }));
    const settled = Promise.allSettled(calls);
    const [first, second] = group.workers as [(typeof group.workers)[0], (typeof group.workers)[0]];
    await eventually(() => group.workers.every((worker) => worker.heartbeat?.method === "sleep"), 20_000);
    process.kill(second.pid, "SIGKILL");
    const reasons = (await settled).map((one) => (one.status === "rejected" ? (one.reason as Error) : null));
    for (const reason of reasons) {
      expect(reason).toMatchObject({ code: "WORKER_DIED", fields: { how: "signal SIGKILL" } });
      expect(reason!.message).toMatch(/rank 1/);
    }
    await first.ended;
    expect(isAlive(first.pid)).toBe(false);
    await group.stop();
    expect(existsSync(dirname(group.rendezvous))).toBe(false);
  });

  it("of which one cannot start leaves nothing behind", async () => {
    const broken = selftestAfter("import os, sys\nif os.environ['RANK'] == '1': sys.exit('rank 1 will not')");
    await expect(startWorkers({ ...options, args: broken })).rejects.toMatchObject({
      code: "WORKER_START_FAILED",
      message: expect.stringMatching(/^rank 1 .*rank 1 will not/s) as string,
    });
  });
});
