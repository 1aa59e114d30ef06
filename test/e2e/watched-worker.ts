import type { PlainMap, Reply, Tensors } from "../../src/bridge/index.js";
import type { OpenPolicyOptions } from "../../src/index.js";
import { connectPython } from "../../src/trainer/index.js";
import { meddle } from "../support/fake-run.js";

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
  return meddle(
    { connect: (config: Parameters<typeof connectPython>[0]) => connectPython(config) },
    {
      after(method, reply, params, sent) {
        onCall({ method, params, sent, reply });
        return reply;
      },
    },
  );
}
