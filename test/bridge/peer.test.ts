import { describe, expect, it, onTestFinished } from "vitest";
import {
  createMemoryPair,
  createPeer,
  createResponder,
  decodeMessage,
  encodeMessage,
  tensor,
} from "../../src/bridge/index.js";
import type { Message, Method, Peer, PeerOptions, PlainMap, Transport } from "../../src/bridge/index.js";
import { BridgeError, WorkerError } from "../../src/errors.js";

const SESSION = "launch";
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
async function turns(count: number): Promise<void> {
  for (let index = 0; index < count; index += 1) await turn();
}

/** Something to wait for, resolved from outside. */
function gate(): { readonly open: () => void; readonly opened: Promise<void> } {
  let open = (): void => undefined;
  const opened = new Promise<void>((resolve) => (open = resolve));
  return { open, opened };
}

/** A promise that an abort signal rejects. */
function untilAborted(signal: AbortSignal): Promise<never> {
  return new Promise((_resolve, reject) => {
    if (signal.aborted) reject(signal.reason as Error);
    signal.addEventListener("abort", () => reject(signal.reason as Error));
  });
}

const METHODS: Record<string, Method> = {
  echo: { kind: "pure", handle: (result, tensors) => ({ result, tensors }) },
};

/** A peer whose other end is a responder with these methods. */
function connect(methods: Record<string, Method> = METHODS, options: Partial<PeerOptions> = {}) {
  const { peer, remote } = connectRaw(Object.keys(methods), options);
  createResponder({ ...remote, session: SESSION, methods });
  return peer;
}

interface Remote {
  readonly data: Transport;
  readonly control: Transport;
}

/** A peer and the other ends of its transports. */
function connectRaw(methods: readonly string[], options: Partial<PeerOptions> = {}): { peer: Peer; remote: Remote } {
  const [data, remoteData] = createMemoryPair();
  const [control, remoteControl] = createMemoryPair();
  const kinds = Object.fromEntries(methods.map((name) => [name, "pure" as const]));
  const peer = createPeer({ data, control, session: SESSION, methods: kinds, ...options });
  onTestFinished(() => peer.close());
  return { peer, remote: { data: remoteData, control: remoteControl } };
}

/** The other end by hand: what arrives is noted, what is sent is up to the test. */
function byHand(options: Partial<PeerOptions> = {}) {
  const { peer, remote } = connectRaw(["work"], options);
  const received: Message[] = [];
  const onMessage = (frames: Uint8Array[]): void => void received.push(decodeMessage(frames));
  for (const transport of [remote.data, remote.control]) transport.start({ onMessage, onClose: () => undefined });
  const send = (message: Partial<Message>): Promise<void> =>
    remote.data.send(encodeMessage({ kind: "res", id: "none", session: SESSION, params: {}, tensors: {}, ...message }));
  return { peer, remote, received, send };
}

const code = (wanted: string): unknown => expect.objectContaining({ code: wanted });

describe("a call", () => {
  it("brings back its result and its tensors", async () => {
    const sent = tensor("f32", [2, 1], Float32Array.of(1.5, -2));
    const { result, tensors } = await connect().call("echo", { text: "hello" }, { tensors: { sent } });
    expect(result).toEqual({ text: "hello" });
    expect(tensors).toEqual({ sent });
  });

  it("gets its own answer when answers come in another order", async () => {
    const { peer, received, send } = byHand();
    const calls = [0, 1, 2].map((index) => peer.call("work", { index }));
    await turns(2);
    for (const { id, params } of received.toReversed()) await send({ id, params: { answerTo: params["index"]! } });
    expect((await Promise.all(calls)).map(({ result }) => result["answerTo"])).toEqual([0, 1, 2]);
  });

  it("rejects with the error of the other end, under its code", async () => {
    const peer = connect({
      coded: { kind: "pure", handle: () => Promise.reject(new WorkerError("MISSING_IMAGES", "3 pictures")) },
      plain: {
        kind: "pure",
        handle() {
          throw new TypeError("no such thing");
        },
      },
    });
    const coded = await peer.call("coded", {}).catch((error: unknown) => error);
    expect(coded).toBeInstanceOf(WorkerError);
    expect(coded).toMatchObject({
      code: "MISSING_IMAGES",
      message: "3 pictures",
      fields: { method: "coded", retryable: false },
    });
    const plain = (await peer.call("plain", {}).catch((error: unknown) => error)) as WorkerError;
    expect(plain).toMatchObject({ code: "WORKER_EXCEPTION", message: "no such thing" });
    expect(plain.fields["traceback"]).toMatch(/^TypeError: no such thing\n\s+at /);
  });

  it("rejects when the method's result cannot travel, and the next call works", async () => {
    const peer = connect({
      ...METHODS,
      bad: { kind: "pure", handle: () => ({ result: { wrong: new Date() } as unknown as PlainMap, tensors: {} }) },
    });
    await expect(peer.call("bad", {})).rejects.toThrow("p.wrong cannot be sent: a Date");
    await expect(peer.call("echo", { a: 1 })).resolves.toMatchObject({ result: { a: 1 } });
  });

  it("of a method that was not announced, or with arguments that cannot travel, is refused before it is sent", async () => {
    const { peer, received } = byHand();
    await expect(peer.call("constructor", {})).rejects.toEqual(code("METHOD_UNKNOWN"));
    await expect(peer.call("work", { bad: undefined } as unknown as PlainMap)).rejects.toEqual(code("HEADER_FIELD"));
    await expect(peer.call("work", {}, { timeout: Number.NaN })).rejects.toEqual(code("HEADER_FIELD"));
    await expect(peer.call("work", {}, { timeout: -1 })).rejects.toEqual(code("HEADER_FIELD"));
    await turns(2);
    expect(received).toEqual([]);
    expect(peer.statistics()).toMatchObject({ calls: 0, bytesSent: 0 });
  });

  it("reports progress until it is answered", async () => {
    const peer = connect({
      work: {
        kind: "pure",
        handle(_params, _tensors, { progress }) {
          for (const step of [1, 2, 3]) progress({ step });
          return { result: {}, tensors: {} };
        },
      },
    });
    const steps: unknown[] = [];
    await peer.call("work", {}, { onProgress: ({ step }) => steps.push(step) });
    expect(steps).toEqual([1, 2, 3]);
  });

  it("whose progress listener throws rejects with that error, is cancelled, and disturbs no other", async () => {
    const peer = connect({
      ...METHODS,
      work: {
        kind: "pure",
        handle: (_params, _tensors, { signal, progress }) => {
          progress({});
          return untilAborted(signal);
        },
      },
    });
    const onProgress = (): void => {
      throw new RangeError("listener failed");
    };
    await expect(peer.call("work", {}, { onProgress })).rejects.toThrow("listener failed");
    await expect(peer.call("echo", {})).resolves.toBeDefined();
  });
});

describe("cancellation", () => {
  it("before the call sends nothing", async () => {
    const { peer, received } = byHand();
    const call = peer.call("work", {}, { signal: AbortSignal.abort("why") });
    await expect(call).rejects.toMatchObject({ code: "BRIDGE_CANCELLED", cause: "why" });
    await turns(2);
    expect(received).toEqual([]);
  });

  it("while the call waits for credit sends nothing, and gives its place away", async () => {
    const { peer, received, send } = byHand({ maxRequests: 1 });
    const controller = new AbortController();
    const first = peer.call("work", { n: 1 });
    const second = peer.call("work", { n: 2 }, { signal: controller.signal });
    const third = peer.call("work", { n: 3 });
    controller.abort();
    await expect(second).rejects.toEqual(code("BRIDGE_CANCELLED"));
    await turns(2);
    await send({ id: received[0]!.id });
    await first;
    await turns(2);
    await send({ id: received[1]!.id });
    await third;
    expect(received.map(({ kind, params }) => [kind, params["n"]])).toEqual([
      ["req", 1],
      ["req", 3],
    ]);
  });

  it("of running work rejects at once and stops the work; the late answer is dropped and counted", async () => {
    let stopped: unknown;
    const started = gate();
    const peer = connect({
      work: {
        kind: "pure",
        handle: async (_params, _tensors, { signal }) => {
          started.open();
          return untilAborted(signal).catch((error: unknown) => {
            stopped = error;
            throw error;
          });
        },
      },
    });
    const controller = new AbortController();
    const call = peer.call("work", {}, { signal: controller.signal });
    await started.opened;
    controller.abort();
    await expect(call).rejects.toEqual(code("BRIDGE_CANCELLED"));
    await turns(4);
    expect(stopped).toMatchObject({ code: "CANCELLED" });
    expect(peer.statistics()).toMatchObject({ dropped: 1, pending: 0 });
  });

  it("of a request that waits is answered at once, while another runs", async () => {
    const release = gate();
    let runs = 0;
    const [data, far] = createMemoryPair();
    const [control, farControl] = createMemoryPair();
    createResponder({
      data: far,
      control: farControl,
      session: SESSION,
      methods: {
        work: {
          kind: "pure",
          handle: async () => {
            runs += 1;
            await release.opened;
            return { result: {}, tensors: {} };
          },
        },
      },
    });
    const answers: Message[] = [];
    data.start({ onMessage: (frames) => void answers.push(decodeMessage(frames)), onClose: () => undefined });
    for (const id of ["runs", "waits"]) await data.send(encodeMessage(toWork(id)));
    await turns(2);
    await control.send(encodeMessage({ kind: "cancel", id: "waits", session: SESSION, params: {}, tensors: {} }));
    await turns(3);
    expect(answers.map(({ id, error }) => [id, error?.code])).toEqual([["waits", "CANCELLED"]]);
    release.open();
    await turns(3);
    expect(answers.map(({ id, kind }) => [id, kind])).toEqual([
      ["waits", "err"],
      ["runs", "res"],
    ]);
    expect(runs).toBe(1);
    await data.close();
  });

  it("that overtakes its request is remembered, of 1,024 the oldest forgotten first", async () => {
    const { data, control, answers, runs } = responderByHand();
    await control.send(encodeMessage({ kind: "cancel", id: "forgotten", session: SESSION, params: {}, tensors: {} }));
    for (let index = 0; index < 1024; index += 1) {
      const id = index === 0 ? "early" : `other-${index}`;
      await control.send(encodeMessage({ kind: "cancel", id, session: SESSION, params: {}, tensors: {} }));
    }
    await turns(2);
    for (const id of ["early", "forgotten"]) await data.send(encodeMessage(toWork(id)));
    await turns(4);
    expect(answers.map(({ id, error }) => [id, error?.code])).toEqual([
      ["early", "CANCELLED"],
      ["forgotten", undefined],
    ]);
    expect(runs()).toBe(1);
  });
});

function toWork(id: string, changes: Partial<Message> = {}): Message {
  return { kind: "req", id, session: SESSION, method: "work", params: {}, tensors: {}, ...changes };
}

/** A responder that counts how often its stateful method "work" runs; requests are written by the test. */
function responderByHand() {
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

describe("a deadline", () => {
  it("travels with the request and rejects the call, also while it waits for credit", async () => {
    const { peer, received } = byHand({ maxRequests: 1 });
    const first = peer.call("work", {}, { timeout: 30 });
    const second = peer.call("work", {}, { timeout: 30 });
    const outcomes = await Promise.allSettled([first, second]);
    expect(outcomes.map((one) => (one as PromiseRejectedResult).reason as unknown)).toEqual([
      code("BRIDGE_DEADLINE"),
      code("BRIDGE_DEADLINE"),
    ]);
    await turns(2);
    expect(received.map(({ kind }) => kind)).toEqual(["req", "cancel"]);
    expect(received[0]!.deadline).toBeLessThanOrEqual(30);
    expect(received[0]!.deadline).toBeGreaterThanOrEqual(0);
  });

  it("rejects the call in the same way when the other end notices it first", async () => {
    const { peer, received, send } = byHand();
    const call = peer.call("work", {}, { timeout: 60_000 });
    await turns(2);
    const error = { code: "DEADLINE", message: "the time given to this request ran out", retryable: false };
    await send({ kind: "err", id: received[0]!.id, error });
    await expect(call).rejects.toBeInstanceOf(BridgeError);
    await expect(call).rejects.toMatchObject({
      code: "BRIDGE_DEADLINE",
      fields: { method: "work", timeout: 60_000 },
    });
  });

  it("beyond what timers can count is none", async () => {
    const peer = connect();
    await expect(peer.call("echo", {}, { timeout: 2 ** 40 })).resolves.toBeDefined();
    await expect(peer.call("echo", {}, { timeout: Number.POSITIVE_INFINITY })).resolves.toBeDefined();
  });

  it("stops work on the other end too", async () => {
    const { data, answers } = responderByHand();
    await data.send(encodeMessage(toWork("1", { method: "slow", deadline: 5 })));
    while (answers.length === 0) await turn();
    expect(answers[0]).toMatchObject({ id: "1", kind: "err", error: { code: "DEADLINE" } });
  });
});

describe("a responder", () => {
  it("runs a stateful request once and repeats its answer", async () => {
    const { data, answers, runs } = responderByHand();
    for (const id of ["a", "a", "b", "a"]) {
      await data.send(encodeMessage(toWork(id)));
      await turns(2);
    }
    expect(answers.map(({ id, params }) => [id, params["runs"]])).toEqual([
      ["a", 1],
      ["a", 1],
      ["b", 2],
      ["a", 1],
    ]);
    expect(runs()).toBe(2);
  });

  it("takes a request that is sent twice before it is answered for one", async () => {
    const { data, control, answers } = responderByHand();
    for (const id of ["a", "a"]) await data.send(encodeMessage(toWork(id, { method: "slow" })));
    await turns(2);
    await control.send(encodeMessage({ kind: "cancel", id: "a", session: SESSION, params: {}, tensors: {} }));
    await turns(4);
    expect(answers.map(({ id, error }) => [id, error?.code])).toEqual([["a", "CANCELLED"]]);
  });

  it("keeps the last 64 answers", async () => {
    const { data, answers } = responderByHand();
    for (let index = 0; index < 65; index += 1) await data.send(encodeMessage(toWork(`id-${index}`)));
    await turns(70);
    for (const id of ["id-1", "id-0"]) await data.send(encodeMessage(toWork(id)));
    await turns(4);
    expect(answers.slice(65).map(({ id, params }) => [id, params["runs"]])).toEqual([
      ["id-1", 2],
      ["id-0", 66],
    ]);
  });

  it("answers garbage that names its request, drops what does not, and works on", async () => {
    const { data, control, answers } = responderByHand();
    const sound = encodeMessage(toWork("bad"));
    await data.send([sound[0]!, sound[1]!, new Uint8Array(3)]);
    await data.send([Uint8Array.of(1, 2), Uint8Array.of(3)]);
    await control.send([new Uint8Array(0)]);
    await data.send(encodeMessage(toWork("other", { session: "another launch" })));
    await data.send(encodeMessage(toWork("unknown", { method: "toString" })));
    await data.send(encodeMessage(toWork("good")));
    await turns(4);
    expect(answers.map(({ id, error }) => [id, error?.code])).toEqual([
      ["bad", "FRAME_COUNT"],
      ["unknown", "METHOD_UNKNOWN"],
      ["good", undefined],
    ]);
  });
});

describe("back-pressure", () => {
  it("counts bytes: what does not fit waits until the other end has answered", async () => {
    const { peer, received, send } = byHand({ maxBytes: 10_000 });
    const big = tensor("u8", [4500], new Uint8Array(4500));
    const calls = [1, 2, 3].map((n) => peer.call("work", { n }, { tensors: { big } }));
    await turns(3);
    expect(received.map(({ params }) => params["n"])).toEqual([1, 2]);
    await send({ id: received[0]!.id });
    await turns(3);
    expect(received.map(({ params }) => params["n"])).toEqual([1, 2, 3]);
    for (const { id } of received.slice(1)) await send({ id });
    await Promise.all(calls);
  });

  it("keeps the credit of a cancelled call until the other end is done with it", async () => {
    const { peer, received, send } = byHand({ maxRequests: 1 });
    const controller = new AbortController();
    const cancelled = peer.call("work", { n: 1 }, { signal: controller.signal });
    await turns(2);
    controller.abort();
    await expect(cancelled).rejects.toEqual(code("BRIDGE_CANCELLED"));
    const next = peer.call("work", { n: 2 });
    await turns(3);
    expect(received.map(({ kind }) => kind)).toEqual(["req", "cancel"]);
    await send({ id: received[0]!.id, kind: "err", error: { code: "CANCELLED", message: "", retryable: false } });
    await turns(3);
    expect(received.map(({ kind }) => kind)).toEqual(["req", "cancel", "req"]);
    await send({ id: received[2]!.id });
    await next;
  });
});

describe("the end of a connection", () => {
  it("rejects what is under way, what waits for credit, and every later call", async () => {
    const { peer } = byHand({ maxRequests: 2 });
    const calls = Array.from({ length: 10 }, () => peer.call("work", {}));
    await turns(2);
    expect(peer.pending().map(({ method }) => method)).toEqual(["work", "work"]);
    await peer.close();
    const outcomes = await Promise.allSettled([...calls, peer.call("work", {})]);
    expect(outcomes).toHaveLength(11);
    for (const outcome of outcomes) expect(outcome).toMatchObject({ reason: { code: "BRIDGE_CLOSED" } });
    expect(peer.statistics().pending).toBe(0);
  });

  it("by the other end closes this one", async () => {
    const { peer, remote } = byHand();
    const call = peer.call("work", {});
    await turn();
    await remote.data.close();
    await expect(call).rejects.toEqual(code("BRIDGE_CLOSED"));
  });

  it("keeps the first reason", async () => {
    const { peer } = byHand();
    peer.fail(new WorkerError("WORKER_DIED", "it died"));
    await peer.close();
    await expect(peer.call("work", {})).rejects.toEqual(code("WORKER_DIED"));
  });
});

describe("a peer that receives", () => {
  it("an answer nobody waits for, or of another launch, drops and counts it", async () => {
    const { peer, received, send } = byHand();
    const call = peer.call("work", {});
    await turns(2);
    const { id } = received[0]!;
    await send({ id, session: "another launch" });
    await send({ id: "unknown" });
    await send({ id, kind: "bye" });
    await send({ id, params: { right: true } });
    expect((await call).result).toEqual({ right: true });
    expect(peer.statistics()).toMatchObject({ calls: 1, dropped: 3, malformed: 0 });
  });

  it("a malformed answer that names its call rejects this call only", async () => {
    const { peer, received, send, remote } = byHand();
    const [first, second] = [peer.call("work", {}), peer.call("work", {})];
    await turns(2);
    const frames = encodeMessage({ kind: "res", id: received[0]!.id, session: SESSION, params: {}, tensors: {} });
    await remote.data.send([...frames, new Uint8Array(1)]);
    await expect(first).rejects.toMatchObject({ code: "BRIDGE_MALFORMED", fields: { reason: "FRAME_COUNT" } });
    await send({ id: received[1]!.id });
    await second;
    expect(peer.statistics()).toMatchObject({ malformed: 1 });
  });

  it("an unreadable message rejects all calls, as any of them may wait for it", async () => {
    const { peer, remote } = byHand();
    const calls = [peer.call("work", {}), peer.call("work", {})];
    await turns(2);
    await remote.data.send([Uint8Array.of(1), Uint8Array.of(2)]);
    for (const call of calls) await expect(call).rejects.toBeInstanceOf(BridgeError);
    for (const call of calls) await expect(call).rejects.toEqual(code("BRIDGE_MALFORMED"));
  });

  it("an event of no call hands it on", async () => {
    const events: unknown[] = [];
    const { send } = byHand({ onEvent: (name, params) => void events.push([name, params]) });
    await send({ kind: "evt", method: "heartbeat", params: { progress: 3 } });
    await turns(2);
    expect(events).toEqual([["heartbeat", { progress: 3 }]]);
  });
});

describe("the statistics of a peer", () => {
  it("count calls, bytes both ways, and the time in which at least one call was under way", async () => {
    const { peer, remote } = connectRaw(["work"]);
    const size = (frames: readonly Uint8Array[]): number => frames.reduce((sum, { byteLength }) => sum + byteLength, 0);
    let bytesSent = 0;
    let bytesReceived = 0;
    const requests: string[] = [];
    remote.control.start({ onMessage: () => undefined, onClose: () => undefined });
    remote.data.start({
      onMessage(frames) {
        bytesSent += size(frames);
        requests.push(decodeMessage(frames).id);
      },
      onClose: () => undefined,
    });
    const answer = async (id: string): Promise<void> => {
      const frames = encodeMessage({ kind: "res", id, session: SESSION, params: {}, tensors: {} });
      bytesReceived += size(frames);
      await remote.data.send(frames);
    };
    expect(peer.statistics().secondsWaited).toBe(0);

    const began = performance.now();
    const numbers = tensor("u8", [300], new Uint8Array(300));
    const calls = [peer.call("work", {}), peer.call("work", {}, { tensors: { numbers } })];
    await turns(2);
    const early = peer.statistics().secondsWaited;
    for (const id of requests) await answer(id);
    await Promise.all(calls);
    const { secondsWaited } = peer.statistics();
    expect(peer.statistics()).toMatchObject({ calls: 2, bytesSent, bytesReceived, pending: 0, secondsWaited });
    expect(early).toBeGreaterThan(0);
    expect(secondsWaited).toBeGreaterThan(early);
    // Two calls at the same time count once.
    expect(secondsWaited).toBeLessThanOrEqual((performance.now() - began) / 1000);
  });
});

describe("a memory transport", () => {
  it("copies what is sent, keeps the order, and delivers what came before anybody listened", async () => {
    const [left, right] = createMemoryPair();
    const bytes = Uint8Array.of(1);
    await left.send([bytes]);
    bytes[0] = 9;
    await left.send([Uint8Array.of(2)]);
    await turns(2);
    const seen: number[] = [];
    right.start({ onMessage: ([frame]) => void seen.push(frame![0]!), onClose: () => void seen.push(-1) });
    expect(seen).toEqual([1, 2]);
    await left.close();
    await right.close();
    expect(seen).toEqual([1, 2, -1]);
    await expect(right.send([bytes])).rejects.toEqual(code("BRIDGE_CLOSED"));
  });
});
