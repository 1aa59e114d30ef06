import { describe, expect, it } from "vitest";
import { encodeMessage } from "../../src/bridge/index.js";
import { SESSION, responderByHand, toWork, turns } from "./peers.js";

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
