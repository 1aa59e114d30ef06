/**
 * One Python worker with one model for many policies, because starting one takes seconds.
 *
 * @module
 */
import type { Reply } from "../../src/bridge/index.js";
import { resolveConfig } from "../../src/config/index.js";
import type { ConfigInput } from "../../src/config/index.js";
import { connectPython } from "../../src/trainer/index.js";
import type { Connection } from "../../src/trainer/index.js";

export interface SharedWorker {
  /** For policies that load the same model in the same way: what `load` answers is kept for all that come later. */
  readonly connect: () => Promise<Connection>;
  stop(): Promise<void>;
}

/** @param config says which Python the worker runs on */
export async function startSharedWorker(config: ConfigInput): Promise<SharedWorker> {
  const { callers, close } = await connectPython(resolveConfig(config));
  const caller = callers[0]!;
  let loaded: Promise<Reply> | undefined;
  return {
    connect: async () => ({
      callers: [
        {
          call: (method, params, options) =>
            method === "load"
              ? (loaded ??= caller.call(method, params, options))
              : caller.call(method, params, options),
          close: async () => undefined,
        },
      ],
      close: async () => undefined,
    }),
    stop: close,
  };
}
