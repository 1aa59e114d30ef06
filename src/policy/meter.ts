/**
 * Counts what calls to the worker cost: the seconds in which it was asked for something, and the bytes of the tensors.
 *
 * @module
 */
import type { Caller, CallOptions, Reply } from "../bridge/index.js";
import { reportedSeconds } from "./replies.js";
import type { PolicyUsage } from "./types.js";

/** A stopwatch over calls that may overlap. */
export interface Meter {
  /** Runs `work` and counts its time as busy. */
  during<T>(work: () => Promise<T>): Promise<T>;
  /** Seconds so far in which at least one call was under way. */
  seconds(): number;
}

/** @param now a monotonic clock in milliseconds */
export function createMeter(now: () => number = () => performance.now()): Meter {
  let running = 0;
  let since = 0;
  let total = 0;
  return {
    async during(work) {
      if (running === 0) since = now();
      running += 1;
      try {
        return await work();
      } finally {
        running -= 1;
        if (running === 0) total += now() - since;
      }
    },
    seconds: () => (total + (running > 0 ? now() - since : 0)) / 1000,
  };
}

/** Verbs that never wait for the model and may run beside it (docs/protocol.md, section 2). */
const BESIDE: readonly string[] = ["images", "encode", "decode", "tokenize", "describe"];

/** What nobody waits for while it is under way: it is no time of the run. */
const UNATTENDED: readonly string[] = ["writeSnapshot"];

/** Callers with their accounts. */
export interface MeteredCallers {
  readonly calls: readonly Caller["call"][];
  readonly usage: () => PolicyUsage;
}

/** Callers that keep accounts together. Packing and unpacking of messages counts as part of the call. */
export function createMeteredCallers(callers: readonly Caller[]): MeteredCallers {
  const busy = createMeter();
  const model = createMeter();
  let workerSeconds = 0;
  let bytesSent = 0;
  let bytesReceived = 0;
  const metered =
    (caller: Caller): Caller["call"] =>
    async (method, params, options = {}) => {
      const send = (): Promise<Reply> => caller.call(method, params, options);
      if (UNATTENDED.includes(method)) return send();
      bytesSent += tensorBytes(options.tensors);
      const reply = await busy.during(BESIDE.includes(method) ? send : () => model.during(send));
      bytesReceived += tensorBytes(reply.tensors);
      workerSeconds += reportedSeconds(reply) / callers.length;
      return reply;
    };
  return {
    calls: callers.map(metered),
    usage: () => ({
      busySeconds: busy.seconds(),
      modelSeconds: model.seconds(),
      workerSeconds,
      bytesSent,
      bytesReceived,
    }),
  };
}

function tensorBytes(tensors: CallOptions["tensors"]): number {
  return Object.values(tensors ?? {}).reduce((total, tensor) => total + tensor.data.byteLength, 0);
}
