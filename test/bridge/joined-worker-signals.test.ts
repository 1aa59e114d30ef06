/** Signals to a worker that dialled in: which of them end it, with what status, and what its control plane hears. */
import { describe, expect, it } from "vitest";
import { dialIn, freeAddress, keyFolder, listen } from "./dialling.js";
import { eventually } from "./selftest-worker.js";

/** A worker that has joined, and its control plane. */
async function joined(leaveSigterm?: number) {
  const { control, fileOf } = await keyFolder("node1");
  const address = await freeAddress("127.0.0.2");
  const worker = dialIn(address, fileOf("node1"));
  const [, all] = listen({ address, keyFile: control, worldSize: 1, ...(leaveSigterm && { leaveSigterm }) });
  const workers = await all;
  return { worker, workers, caller: workers.callers[0]! };
}

const LOST = {
  code: "WORKER_LOST",
  message: expect.stringMatching(/^the connection to rank 0 on .* \(process \d+\) ended during sleep/) as string,
  fields: { rank: 0, method: "sleep" },
};

describe("a worker that dialled in", () => {
  it("is lost to its run by name when it is interrupted, and does not end as the run does", async () => {
    const { worker, caller } = await joined();
    const call = caller.call("sleep", { seconds: 60, steps: 600 }, { onProgress: () => worker.process.kill("SIGINT") });
    await expect(call).rejects.toMatchObject(LOST);
    expect(await worker.ended).toBe(143);
    expect(worker.said).toContain("interrupted: this worker ends, and the run with it");
  });

  it("works on after SIGTERM, however often it comes, until the control plane ends it", async () => {
    const { worker, workers, caller } = await joined();
    await caller.call("echo", {});
    for (const number of [1, 2, 3]) {
      worker.process.kill("SIGTERM");
      expect(
        await eventually(() => worker.said.includes("SIGTERM is left to the control plane for 60 s"), 20_000),
      ).toBe(true);
      expect((await caller.call("echo", { number })).result).toEqual({ number });
    }
    await workers.stop();
    expect(await worker.ended).toBe(0);
    expect(worker.said.match(/SIGTERM is left/g)).toHaveLength(1);
  });

  it("is lost to its run by name when the control plane has not ended it in time after SIGTERM", async () => {
    const { worker, caller } = await joined(100);
    const call = caller.call(
      "sleep",
      { seconds: 60, steps: 600 },
      { onProgress: () => worker.process.kill("SIGTERM") },
    );
    await expect(call).rejects.toMatchObject(LOST);
    expect(await worker.ended).toBe(143);
  });

  it("ends with its connection although SIGTERM was left to the control plane", async () => {
    const { control, fileOf } = await keyFolder("node1", "node2");
    const address = await freeAddress("127.0.0.2");
    const [first, second] = ["node1", "node2"].map((name, rank) =>
      dialIn(address, fileOf(name), "--rank", `${rank}`, "--world-size", "2", "--rendezvous", "127.0.0.1:1"),
    );
    const [, joining] = listen({ address, keyFile: control, worldSize: 2 });
    await (await joining).callers[0]!.call("echo", {});
    first!.process.kill("SIGTERM");
    expect(await eventually(() => first!.said.includes("SIGTERM is left"), 20_000)).toBe(true);
    second!.process.kill("SIGKILL");
    expect(await first!.ended).toBe(13);
  });

  it("ends at once at SIGTERM when no run has asked anything of it", async () => {
    const { worker } = await joined();
    worker.process.kill("SIGTERM");
    expect(await worker.ended).toBe(143);
  });
});
