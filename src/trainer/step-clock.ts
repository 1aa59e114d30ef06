/**
 * Where the time of a step goes: waiting for the worker (its own work, and the bridge), or TypeScript alone.
 *
 * The next step's prompts are encoded while this one trains. Such calls do not excuse TypeScript: outside of the wait for
 * this step's own prompts only the model's verbs count as waiting for the worker.
 *
 * @module
 */
import type { PolicyUsage } from "../policy/index.js";
import type { StepTimings } from "./events.js";

/** A stopwatch with stages. */
export interface StepClock {
  /** Ends a stage that began where the last one ended. "between" is what happens after one step and before the next. */
  lap(stage: "between" | "encode" | "generate" | "rewards"): void;
  /** Runs something between two steps that belongs to neither: its time is left out. */
  leaveOut<T>(work: () => Promise<T>): Promise<T>;
  /** Ends the step; what came after the last stage is its update. The clock runs on for the next step. */
  finish(): StepTimings;
}

/**
 * Starts the clock of a run's steps.
 *
 * @param usage what the policy has cost so far
 * @param now a monotonic clock in milliseconds
 */
export function startStepClock(usage: () => PolicyUsage, now: () => number = () => performance.now()): StepClock {
  const read = () => ({ time: now() / 1000, usage: usage() });
  const nothing = () => ({ between: 0, encode: 0, generate: 0, rewards: 0, update: 0 });
  let stages = nothing();
  let worker = 0;
  let reported = 0;
  let bytes = { bytesSent: 0, bytesReceived: 0 };
  let last = read();

  function end(stage: keyof typeof stages): void {
    const current = read();
    const waited = stage === "encode" ? "busySeconds" : "modelSeconds";
    worker += current.usage[waited] - last.usage[waited];
    reported += current.usage.workerSeconds - last.usage.workerSeconds;
    stages[stage] += current.time - last.time;
    bytes = {
      bytesSent: bytes.bytesSent + current.usage.bytesSent - last.usage.bytesSent,
      bytesReceived: bytes.bytesReceived + current.usage.bytesReceived - last.usage.bytesReceived,
    };
    last = current;
  }

  return {
    lap: end,
    async leaveOut(work) {
      end("between");
      try {
        return await work();
      } finally {
        last = read();
      }
    },
    finish() {
      end("update");
      const { between, ...shown } = stages;
      const total = between + shown.encode + shown.generate + shown.rewards + shown.update;
      const bridge = Math.max(0, worker - reported);
      const timings = { total, worker, bridge, control: Math.max(0, total - worker), ...shown, ...bytes };
      stages = nothing();
      worker = 0;
      reported = 0;
      bytes = { bytesSent: 0, bytesReceived: 0 };
      return timings;
    },
  };
}
