/**
 * A worker without Python and without a model, for tests of rewards, loops and tools: real messages over an in-memory
 * transport, scripted completions.
 *
 * @module
 */
import { createMemoryPair, createPeer, createResponder } from "../bridge/index.js";
import type { Caller, MethodKind, PlainMap } from "../bridge/index.js";
import { fakeVerbs } from "./fake-verbs.js";
import type { FakeVerbsOptions } from "./fake-verbs.js";

export type FakeWorkerOptions = FakeVerbsOptions;

/** One call the worker answered. */
export interface RecordedCall {
  readonly method: string;
  readonly params: PlainMap;
}

export interface FakeWorker {
  /** Give it to `train` or `openPolicy` as `connect`. */
  readonly connect: () => Promise<{ readonly caller: Caller; close(): Promise<void> }>;
  /** Every call so far, in order. */
  readonly calls: readonly RecordedCall[];
}

/** Verbs that change the worker (docs/protocol.md, section 3). */
const STATEFUL: readonly string[] = ["load", "forwardBackward", "discard", "optimStep", "save", "restore"];

/** A fake worker; its state lives as long as it does, over any number of connections. */
export function createFakeWorker(options: FakeWorkerOptions = {}): FakeWorker {
  const calls: RecordedCall[] = [];
  const verbs = Object.entries(fakeVerbs(options)).map(([name, verb]) => {
    const kind: MethodKind = STATEFUL.includes(name) ? "stateful" : "pure";
    const handle = (params: PlainMap, tensors: Parameters<typeof verb>[1]): ReturnType<typeof verb> => {
      calls.push({ method: name, params });
      return verb(params, tensors);
    };
    return [name, { kind, handle }] as const;
  });
  const methods = Object.fromEntries(verbs);
  const kinds = Object.fromEntries(verbs.map(([name, { kind }]) => [name, kind]));
  return {
    calls,
    async connect() {
      const [data, remoteData] = createMemoryPair();
      const [control, remoteControl] = createMemoryPair();
      const session = "fake";
      createResponder({ data: remoteData, control: remoteControl, session, methods });
      const peer = createPeer({ data, control, session, methods: kinds });
      return { caller: peer, close: () => peer.close() };
    },
  };
}
