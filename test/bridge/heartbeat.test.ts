/** Watching heartbeats: whose fault a silence is. */
import { afterEach, expect, it } from "vitest";
import { watchHeartbeat } from "../../src/bridge/heartbeat.js";
import type { HeartbeatWatch } from "../../src/bridge/heartbeat.js";
import type { WorkerError } from "../../src/errors.js";

let watch: HeartbeatWatch | undefined;
afterEach(() => watch?.stop());

/** Resolves with the failure; `silenceMs` is short enough for a test, and long enough for a machine with other work. */
function watching(silenceMs: number, stallMs: number): Promise<WorkerError> {
  return new Promise((onFailure) => {
    watch = watchHeartbeat({ who: "the worker", intervalMs: 20, silenceMs, stallMs: () => stallMs, onFailure });
  });
}

/** This process stands still, as it does when it is stopped or a laptop sleeps. */
function standStill(milliseconds: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, milliseconds);
}

it("a worker has the time back in which this process stood still, and is found silent afterwards", async () => {
  const failed = watching(400, 1000);
  watch!.receive({ progress: 1, progress_age_ms: 0, phase: "decode", method: "generate", rss: 1 });
  standStill(900);
  let early = false;
  void failed.then(() => (early = true));
  await new Promise((later) => setTimeout(later, 60));
  expect(early).toBe(false);
  expect(await failed).toMatchObject({
    code: "WORKER_UNRESPONSIVE",
    fields: { method: "generate", phase: "decode" },
    message: expect.stringMatching(/has sent no heartbeat for \d\.\d s during generate \(decode\)/) as string,
  });
});

it("progress is what the heartbeat says of it: work without any is stalled, an idle worker is not", async () => {
  const failed = watching(60_000, 1000);
  watch!.receive({ progress: 1, progress_age_ms: 5000, phase: "idle", method: null, rss: 1 });
  await new Promise((later) => setTimeout(later, 60));
  watch!.receive({ progress: 1, progress_age_ms: 1000, phase: "forward", method: "forwardBackward", rss: 1 });
  await new Promise((later) => setTimeout(later, 60));
  watch!.receive({ progress: 1, progress_age_ms: 1001, phase: "forward", method: "forwardBackward", rss: 1 });
  expect(await failed).toMatchObject({
    code: "WORKER_STALLED",
    message: expect.stringContaining("made no progress in forwardBackward (forward) for 1.0 s") as string,
  });
});
