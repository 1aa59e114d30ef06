/**
 * Peers and responders over memory, for tests: with a real other end, or with one that the test plays.
 *
 * @module
 */
import { expect, onTestFinished } from "vitest";
import { createMemoryPair, createPeer, createResponder, decodeMessage, encodeMessage } from "../../src/bridge/index.js";
import type { Message, Method, Peer, PeerOptions, Transport } from "../../src/bridge/index.js";

/** Names the launch that both ends belong to. */
export const SESSION = "launch";
/** Lets everything that is due happen. */
export const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
export async function turns(count: number): Promise<void> {
  for (let index = 0; index < count; index += 1) await turn();
}

/** Something to wait for, resolved from outside. */
export function gate(): { readonly open: () => void; readonly opened: Promise<void> } {
  let open = (): void => undefined;
  const opened = new Promise<void>((resolve) => (open = resolve));
  return { open, opened };
}

/** A promise that an abort signal rejects. */
export function untilAborted(signal: AbortSignal): Promise<never> {
  return new Promise((_resolve, reject) => {
    if (signal.aborted) reject(signal.reason as Error);
    signal.addEventListener("abort", () => reject(signal.reason as Error));
  });
}

/** What a responder can do unless told otherwise. */
export const METHODS: Record<string, Method> = {
  echo: { kind: "pure", handle: (result, tensors) => ({ result, tensors }) },
};

/** A peer whose other end is a responder with these methods. */
export function connect(methods: Record<string, Method> = METHODS, options: Partial<PeerOptions> = {}) {
  const { peer, remote } = connectRaw(Object.keys(methods), options);
  createResponder({ ...remote, session: SESSION, methods });
  return peer;
}

/** The other ends of a peer's transports. */
interface Remote {
  readonly data: Transport;
  readonly control: Transport;
}

/** A peer and the other ends of its transports. */
export function connectRaw(
  methods: readonly string[],
  options: Partial<PeerOptions> = {},
): { peer: Peer; remote: Remote } {
  const [data, remoteData] = createMemoryPair();
  const [control, remoteControl] = createMemoryPair();
  const kinds = Object.fromEntries(methods.map((name) => [name, "pure" as const]));
  const peer = createPeer({ data, control, session: SESSION, methods: kinds, ...options });
  onTestFinished(() => peer.close());
  return { peer, remote: { data: remoteData, control: remoteControl } };
}

/** The other end by hand: what arrives is noted, what is sent is up to the test. */
export function byHand(options: Partial<PeerOptions> = {}) {
  const { peer, remote } = connectRaw(["work"], options);
  const received: Message[] = [];
  const onMessage = (frames: Uint8Array[]): void => void received.push(decodeMessage(frames));
  for (const transport of [remote.data, remote.control]) transport.start({ onMessage, onClose: () => undefined });
  const send = (message: Partial<Message>): Promise<void> =>
    remote.data.send(encodeMessage({ kind: "res", id: "none", session: SESSION, params: {}, tensors: {}, ...message }));
  return { peer, remote, received, send };
}

/** An error of this code. */
export const code = (wanted: string): unknown => expect.objectContaining({ code: wanted });
/** A request as the test writes it. */
export function toWork(id: string, changes: Partial<Message> = {}): Message {
  return { kind: "req", id, session: SESSION, method: "work", params: {}, tensors: {}, ...changes };
}

/** A responder that counts how often its stateful method "work" runs; requests are written by the test. */
export function responderByHand() {
  const [data, remoteData] = createMemoryPair();
  const [control, remoteControl] = createMemoryPair();
  let runs = 0;
  const handle: Method["handle"] = () => {
    runs += 1;
    return { result: { runs }, tensors: {} };
  };
  createResponder({
    data: remoteData,
    control: remoteControl,
    session: SESSION,
    methods: {
      work: { kind: "stateful", handle },
      slow: { kind: "pure", handle: (_params, _tensors, { signal }) => untilAborted(signal) },
    },
  });
  const answers: Message[] = [];
  data.start({ onMessage: (frames) => void answers.push(decodeMessage(frames)), onClose: () => undefined });
  onTestFinished(() => data.close());
  onTestFinished(() => control.close());
  return { data, control, answers, runs: () => runs };
}
