import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { createComparisons, isClose } from "../../src/trainer/verify/comparisons.js";
import type { Compared } from "../../src/trainer/verify/comparisons.js";
import { reachOf } from "../../src/trainer/verify/saved.js";
import { compareTensors } from "../../src/trainer/verify/tensors.js";

const folder = mkdtempSync(join(tmpdir(), "thurstone-test-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

type Tensors = Record<string, { dtype: string; shape: number[]; bytes: Uint8Array }>;

/** A safetensors file. */
function write(name: string, tensors: Tensors): string {
  let at = 0;
  const entries = Object.entries(tensors).map(([key, { dtype, shape, bytes }]) => {
    const data_offsets = [at, (at += bytes.length)];
    return [key, { dtype, shape, data_offsets }];
  });
  const header = Buffer.from(JSON.stringify({ __metadata__: { step: "1" }, ...Object.fromEntries(entries) }));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(header.length));
  const path = join(folder, name);
  writeFileSync(path, Buffer.concat([length, header, ...Object.values(tensors).map(({ bytes }) => bytes)]));
  return path;
}

const floats = (...values: number[]): Uint8Array => new Uint8Array(Float32Array.from(values).buffer);
const shorts = (...bits: number[]): Uint8Array => new Uint8Array(Uint16Array.from(bits).buffer);
const f32 = (shape: number[], ...values: number[]) => ({ dtype: "F32", shape, bytes: floats(...values) });

describe("two sets of tensors", () => {
  it("are compared element by element, and the largest difference is told", async () => {
    const same = f32([2], 1, 2);
    const then = write("then", { a: f32([2, 3], 0, 1, 2, 3, 4, 5), b: same });
    const now = write("now", { a: f32([2, 3], 0, 1.5, 2, 3, 4, 9), b: same });
    expect(await compareTensors([then], [now])).toEqual({
      tensors: 2,
      differences: [{ name: "a", differing: 2, elements: 6, at: [1, 2], recorded: 5, found: 9, distance: 4 }],
    });
    expect(await compareTensors([then], [then])).toEqual({ tensors: 2, differences: [] });
  });

  it("may be cut into other files, and lack tensors or have them in another shape", async () => {
    const whole = write("whole", { a: f32([1], 1), b: f32([1], 2) });
    const parts = [write("part1", { b: f32([1], 2) }), write("part2", { a: f32([1], 1) })];
    expect((await compareTensors([whole], parts)).differences).toEqual([]);
    const gone = { differing: 1, elements: 1, at: [], recorded: null, found: null, distance: Infinity };
    expect((await compareTensors([whole], [parts[0]!])).differences).toEqual([{ name: "a", ...gone }]);
    const reshaped = write("reshaped", { a: f32([1, 1], 1), b: f32([1], 2) });
    expect((await compareTensors([whole], [reshaped])).differences).toEqual([{ name: "a", ...gone }]);
  });

  it.each([
    ["BF16", shorts(0x3f80, 0xc040), shorts(0x3f80, 0x4000), -3, 2],
    ["F16", shorts(0x3c00, 0xc200), shorts(0x3c00, 0x0001), -3, 2 ** -24],
    ["F16", shorts(0x3c00, 0x7c00), shorts(0x3c00, 0x3555), Infinity, 1365 / 4096],
    ["F64", new Uint8Array(Float64Array.of(1, 2).buffer), new Uint8Array(Float64Array.of(1, 3).buffer), 2, 3],
    ["I64", Uint8Array.of(7, 9), Uint8Array.of(7, 8), 9, 8],
  ])("are read as what they are: %s", async (dtype, before, after, recorded, found) => {
    const [then, now] = [before, after].map((bytes, side) =>
      write(`${dtype}${side}`, { a: { dtype, shape: [2], bytes } }),
    );
    const { differences } = await compareTensors([then!], [now!]);
    expect(differences).toMatchObject([{ at: [1], differing: 1, recorded, found }]);
  });

  it("hold no number that is further away than what is none", async () => {
    const then = write("nan then", { a: f32([3], NaN, 1, 0) });
    const now = write("nan now", { a: f32([3], NaN, NaN, 1e9) });
    expect((await compareTensors([then], [now])).differences).toMatchObject([
      { at: [1], differing: 2, distance: Infinity },
    ]);
  });

  it("must be safetensors files", async () => {
    const whole = write("short", { a: f32([2], 1, 2) });
    for (const [name, bytes] of [
      ["empty", Buffer.alloc(0)],
      ["text", Buffer.from("no tensors in here at all")],
      ["header", Buffer.concat([Buffer.from([9, 0, 0, 0, 0, 0, 0, 0]), Buffer.from('{"a":"b"}')])],
    ] as const) {
      const path = join(folder, name);
      writeFileSync(path, bytes);
      await expect(compareTensors([whole], [path])).rejects.toMatchObject({ code: "VERIFY_TENSORS", fields: { path } });
    }
  });
});

describe("differences", () => {
  const one = (about: Compared["about"], step: number | null): Compared => ({
    about,
    step,
    what: about,
    recorded: 1,
    found: 2,
  });

  function inOrder(...compared: Compared[]): unknown[] {
    const comparisons = createComparisons();
    for (const each of compared) comparisons.compare(each);
    return comparisons.differences().map(({ about, step, follows }) => [about, step, follows]);
  }

  it("stand by step, causes first, and those that may follow say so", () => {
    expect(inOrder(one("weight", 2), one("metric", 2), one("completion", 2), one("reward", 1))).toEqual([
      ["reward", 1, false],
      ["completion", 2, false],
      ["metric", 2, true],
      ["weight", 2, true],
    ]);
    expect(inOrder(one("metric", 3), one("data", null), one("row", 3))).toEqual([
      ["data", null, false],
      ["row", 3, true],
      ["metric", 3, true],
    ]);
  });

  it("in what is computed again at every step lead to nothing", () => {
    expect(inOrder(one("reward", 1), one("advantage", 1), one("configuration", null), one("metric", 2))).toEqual([
      ["configuration", null, false],
      ["reward", 1, false],
      ["advantage", 1, false],
      ["metric", 2, false],
    ]);
    expect(inOrder(one("metric", 1), one("reward", 2), one("metric", 2))).toEqual([
      ["metric", 1, false],
      ["reward", 2, false],
      ["metric", 2, true],
    ]);
    expect(inOrder(one("weight", 1), one("optimizer", 1), one("metric", 2))).toEqual([
      ["weight", 1, false],
      ["optimizer", 1, false],
      ["metric", 2, true],
    ]);
  });

  it("are counted with what agrees, and what is left out is told once", () => {
    const comparisons = createComparisons();
    comparisons.compare(one("metric", 1));
    comparisons.compare({ ...one("metric", 1), found: 1 });
    comparisons.compare(one("metric", 1), true);
    for (const reason of ["a", "b", "a"]) comparisons.leaveOut(reason);
    expect([comparisons.count("metric", 1), comparisons.count("metric", 2)]).toEqual([3, 0]);
    expect([comparisons.differences().length, comparisons.leftOut]).toEqual([1, ["a", "b"]]);
  });
});

it("numbers are close in parts of themselves, and near 0 by a thousandth of that", () => {
  expect([isClose(2, 2.0019, 1e-3), isClose(2, 2.0021, 1e-3)]).toEqual([true, false]);
  expect([isClose(0, 9e-7, 1e-3), isClose(1e-9, -5e-7, 1e-3), isClose(0, 2e-6, 1e-3)]).toEqual([true, true, false]);
  expect([isClose(null, null, 1e-3), isClose(null, 0, 1e-3), isClose("a", "a", 1e-3)]).toEqual([true, false, true]);
});

it("weights of two machines can part by twice the way that AdamW can go", () => {
  const metrics = new Map([1, 2, 3].map((step) => [step, { learning_rate: step / 1000 }]));
  const keys = {
    optim: "adamw_torch" as const,
    adam_beta1: 0.9,
    adam_beta2: 0.999,
    learning_rate: 1e-3,
    vision_learning_rate: null,
  };
  expect(reachOf(keys, { metrics }, 2)).toBeCloseTo(2 * 0.005 * (0.1 / Math.sqrt(0.001)), 12);
  expect(reachOf({ ...keys, adam_beta2: 0.99, vision_learning_rate: 4e-3 }, { metrics }, 3)).toBeCloseTo(
    2 * 0.003 * 4,
    12,
  );
  expect(reachOf({ ...keys, optim: "adamw_bnb_8bit" }, { metrics }, 2)).toBe(Number.POSITIVE_INFINITY);
});
