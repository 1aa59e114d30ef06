import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { foldKey, mix64, seedStreams, shuffle, uniform } from "../../src/stats/index.js";
import { readGolden } from "../golden/read.js";

interface Golden {
  mix64: { value: string; mixed: string }[];
  foldKey: { parts: number[]; key: string; uniform: number }[];
  shuffle: { count: number; parts: number[]; order: number[] }[];
}

const golden = readGolden<Golden>("random");
const fold = ([seed, ...parts]: number[]): bigint => foldKey(seed!, ...parts);

describe("counter-based draws", () => {
  it.each(golden.mix64)("mix64($value) equals Python's", ({ value, mixed }) => {
    expect(mix64(BigInt(value))).toBe(BigInt(mixed));
  });

  it.each(golden.foldKey)("foldKey($parts) and its uniform equal Python's", ({ parts, key, uniform: expected }) => {
    expect(fold(parts)).toBe(BigInt(key));
    expect(uniform(fold(parts))).toBe(expected);
  });

  it("have the streams that docs/protocol.md lists, under numbers that stay", () => {
    expect(seedStreams).toEqual({ train: 1, eval: 2, order: 3, dropout: 4, warmup: 5, unreadable: 6, adapter: 7 });
  });

  it("can be folded step by step", () => {
    expect(foldKey(foldKey(7, 1, 2), 3n)).toBe(foldKey(7, 1, 2, 3));
  });

  it("survive the wire, which carries keys as two's complement", () => {
    const key = foldKey(42, 1, 0, 0, 1);
    expect(BigInt.asUintN(64, new BigInt64Array([key])[0]!)).toBe(key);
    expect(uniform(BigInt.asIntN(64, key))).toBe(uniform(key));
  });

  it("refuse what is no integer", () => {
    expect(() => foldKey(1.5)).toThrow(RangeError);
    expect(() => foldKey(1, 2 ** 53)).toThrow(RangeError);
  });

  it("lie in [0, 1) and are spread evenly", () => {
    const draws = Array.from({ length: 20_000 }, (_, index) => uniform(foldKey(11, index)));
    expect(Math.min(...draws)).toBeGreaterThanOrEqual(0);
    expect(Math.max(...draws)).toBeLessThan(1);
    const tenths = draws.reduce(
      (counts, draw) => counts.with(Math.floor(draw * 10), counts[Math.floor(draw * 10)]! + 1),
      Array<number>(10).fill(0),
    );
    const chiSquare = tenths.reduce((sum, count) => sum + (count - 2000) ** 2 / 2000, 0);
    expect(chiSquare).toBeLessThan(27.9);
  });
});

describe("shuffle", () => {
  it.each(golden.shuffle)("orders $count items as Python does", ({ count, parts, order }) => {
    const items = Array.from({ length: count }, (_, index) => index);
    expect(shuffle(items, fold(parts))).toEqual(order);
  });

  it("keeps every item and leaves the input alone", () => {
    fc.assert(
      fc.property(fc.array(fc.integer()), fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), (items, key) => {
        const before = [...items];
        const shuffled = shuffle(items, key);
        expect(items).toEqual(before);
        expect(shuffled.toSorted((a, b) => a - b)).toEqual(before.toSorted((a, b) => a - b));
      }),
    );
  });

  it("reaches every order of three items about equally often", () => {
    const counts = new Map<string, number>();
    for (let key = 0; key < 6000; key++) {
      const order = shuffle(["a", "b", "c"], foldKey(key)).join("");
      counts.set(order, (counts.get(order) ?? 0) + 1);
    }
    expect(counts.size).toBe(6);
    for (const count of counts.values()) expect(Math.abs(count - 1000)).toBeLessThan(150);
  });
});
