import type { PlainMap, Reply, Tensors } from "../../src/bridge/index.js";
import type { OpenPolicyOptions } from "../../src/index.js";
import { connectPython } from "../../src/trainer/index.js";

/** A call to a real worker that was answered. */
export interface WatchedCall {
  readonly method: string;
  readonly params: PlainMap;
  /** Tensors of the request. */
  readonly sent: Tensors;
  readonly reply: Reply;
}

/** Connects to a real worker, and tells of every call after it was answered. */
export function watchedWorker(onCall: (call: WatchedCall) => void): NonNullable<OpenPolicyOptions["connect"]> {
  return async (config) => {
    const connection = await connectPython(config);
    return {
      ...connection,
      callers: connection.callers.map((caller) => ({
        close: () => caller.close(),
        async call(method, params, options) {
          const reply = await caller.call(method, params, options);
          onCall({ method, params, sent: options?.tensors ?? {}, reply });
          return reply;
        },
      })),
    };
  };
}
