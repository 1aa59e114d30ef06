import { describe, expect, it } from "vitest";
import { decodeMessage, encodeMessage, tensor } from "../../src/bridge/index.js";
import type { PlainMap } from "../../src/bridge/index.js";
import { BridgeError, WorkerError } from "../../src/errors.js";
import { METHODS, SESSION, byHand, code, connect, connectRaw, turn, turns, untilAborted } from "./peers.js";

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
