/**
 * A worker without Python and without a model, for tests of rewards, loops and tools: real messages over an in-memory
 * transport, scripted completions.
 *
 * @module
 */
import { createMemoryPair, createPeer, createResponder } from "../bridge/index.js";
import type { Caller, HandlerContext, MethodKind, Peer, PlainMap, Tensors } from "../bridge/index.js";
import { fakeVerbs } from "./fake-verbs.js";
import type { FakeVerbsOptions, SharedGradients } from "./fake-verbs.js";

/** How a fake worker behaves. */
export interface FakeWorkerOptions extends FakeVerbsOptions {
  /** Workers per connection, which train one model. Default 1. */
  readonly ranks?: number;
}

/** One call the worker received. */
export interface RecordedCall {
  /** Number of the worker that received it, from 0. */
  readonly rank: number;
  readonly method: string;
  readonly params: PlainMap;
  readonly tensors: Tensors;
}

/** Fake workers to be connected to, and what they were asked. */
export interface FakeWorker {
  /** Starts a worker of its own, with fresh weights. Give it to `train` or `openPolicy` as `connect`. */
  readonly connect: () => Promise<{ readonly callers: readonly Caller[]; close(): Promise<void> }>;
  /** Every call so far, over all connections, in order. */
  readonly calls: readonly RecordedCall[];
  /** Connections that were made and not closed. */
  readonly open: number;
  /** Seconds spent in the fake's own verbs, to be left out where its caller is measured. */
  readonly seconds: number;
}

/** Verbs that change the worker (docs/protocol.md, section 3). */
const STATEFUL: readonly string[] = [
  "load",
  "forwardBackward",
  "discard",
  "optimStep",
  "save",
  "snapshot",
  "writeSnapshot",
  "restore",
];

/** Workers that answer without a model: each connection starts one, and all of them write into one list of calls. */
export function createFakeWorker(options: FakeWorkerOptions = {}): FakeWorker {
  const calls: RecordedCall[] = [];
  let open = 0;
  let seconds = 0;
  return {
    calls,
    get seconds() {
      return seconds;
    },
    get open() {
      return open;
    },
    async connect() {
      const shared: SharedGradients = new Map();
      const peers = Array.from({ length: options.ranks ?? 1 }, (_, rank) => connectOne(rank, shared));
      open += 1;
      let closed = false;
      return {
        callers: peers,
        async close() {
          if (!closed) open -= 1;
          closed = true;
          await Promise.all(peers.map((peer) => peer.close()));
        },
      };
    },
  };

  function connectOne(rank: number, shared: SharedGradients): Peer {
    const verbs = Object.entries(fakeVerbs(options, shared, rank)).map(([name, verb]) => {
      const kind: MethodKind = STATEFUL.includes(name) ? "stateful" : "pure";
      const handle = (params: PlainMap, tensors: Tensors, context: HandlerContext): ReturnType<typeof verb> => {
        calls.push({ rank, method: name, params, tensors });
        const started = performance.now();
        try {
          return verb(params, tensors, context);
        } finally {
          seconds += (performance.now() - started) / 1000;
        }
      };
      return [name, { kind, handle }] as const;
    });
    const [data, remoteData] = createMemoryPair();
    const [control, remoteControl] = createMemoryPair();
    const session = "fake";
    createResponder({ data: remoteData, control: remoteControl, session, methods: Object.fromEntries(verbs) });
    const kinds = Object.fromEntries(verbs.map(([name, { kind }]) => [name, kind]));
    return createPeer({ data, control, session, methods: kinds });
  }
}
