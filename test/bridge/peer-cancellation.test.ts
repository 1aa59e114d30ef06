import { describe, expect, it } from "vitest";
import { createMemoryPair, createResponder, decodeMessage, encodeMessage } from "../../src/bridge/index.js";
import type { Message } from "../../src/bridge/index.js";
import { BridgeError } from "../../src/errors.js";
import { SESSION, byHand, code, connect, gate, responderByHand, toWork, turn, turns, untilAborted } from "./peers.js";

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
