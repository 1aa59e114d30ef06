import { describe, expect, it } from "vitest";
import { createMemoryPair } from "../../src/bridge/index.js";
import { code, turns } from "./peers.js";

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
