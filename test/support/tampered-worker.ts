/**
 * A fake worker behind a wire on which something happens to messages.
 *
 * @module
 */
import { createMemoryPair, createPeer, createResponder } from "../../src/bridge/index.js";
import type { Limits } from "../../src/bridge/index.js";
import type { Transport } from "../../src/bridge/index.js";
import type { TrainOptions } from "../../src/index.js";
import { fakeVerbs } from "../../src/testing/fake-verbs.js";

export interface Tampering {
  /** What arrives of a request, message by message. Default: what was sent. */
  readonly requests?: (frames: Uint8Array[]) => Uint8Array[][];
  /** What arrives of a reply. */
  readonly replies?: (frames: Uint8Array[]) => Uint8Array[][];
  /** Of the receiving end here. */
  readonly limits?: Limits;
}

const STATEFUL: readonly string[] = ["load", "forwardBackward", "discard", "optimStep", "save", "restore"];

/** The transport, with what is sent over it exchanged for something else. */
function tampered(transport: Transport, change: (frames: Uint8Array[]) => Uint8Array[][]): Transport {
  return {
    ...transport,
    async send(frames) {
      for (const message of change([...frames])) await transport.send(message);
    },
  };
}

/** Give it to `train` as `connect`. Every connection is a worker of its own. */
export function tamperedWorker(tampering: Tampering): NonNullable<TrainOptions["connect"]> {
  const { requests = (frames) => [frames], replies = (frames) => [frames], limits = {} } = tampering;
  return async () => {
    const [data, remoteData] = createMemoryPair();
    const [control, remoteControl] = createMemoryPair();
    const session = "tampered";
    const methods = Object.fromEntries(
      Object.entries(fakeVerbs()).map(([name, handle]) => [
        name,
        { kind: STATEFUL.includes(name) ? ("stateful" as const) : ("pure" as const), handle },
      ]),
    );
    createResponder({ data: tampered(remoteData, replies), control: remoteControl, session, methods });
    const kinds = Object.fromEntries(Object.entries(methods).map(([name, { kind }]) => [name, kind]));
    const peer = createPeer({ data: tampered(data, requests), control, session, methods: kinds, limits });
    return { callers: [peer], close: () => peer.close() };
  };
}
