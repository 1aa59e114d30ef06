import fc from "fast-check";
import { resolve } from "node:path";
import { describe, expect, it } from "vitest";
import { probabilityBetter, runCompareCommand } from "../../src/cli/compare.js";
import { runCommandLine } from "../../src/cli/program.js";
import { createFakeWorker } from "../../src/testing/index.js";
import { commandIo } from "./outputs.js";

const PICTURES = resolve(import.meta.dirname, "../golden/decode");

interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** Answers in the order in which they are asked for: those of A, then those of B. */
async function compare(answers: readonly string[], ...args: readonly string[]): Promise<Ran> {
  const io = commandIo(PICTURES);
  let asked = 0;
  const { connect } = createFakeWorker({ complete: () => answers[asked++]! });
  const samples = ["--mode", "fast", "--samples", String(answers.length / 2)];
  const code = await runCompareCommand([...args, "--model", "m", ...samples], io, { connect });
  return { code, out: io.stdout.text(), err: io.stderr.text() };
}
const scores = (...values: readonly number[]): string[] => values.map((value) => `<answer>${value}</answer>`);

describe("thurstone compare", () => {
  it("gives the probability with mean and deviation of both", async () => {
    // Means 3 and 2, variances 2 and 2: Phi(1 / 2).
    const { code, out } = await compare(scores(2, 4, 1, 3), "rgb.png", "grey.png");
    expect(code).toBe(0);
    expect(out).toBe(
      [
        "A is better than B with a probability of 0.691",
        "",
        "   picture   score  deviation",
        "A  rgb.png   3.000      1.414",
        "B  grey.png  2.000      1.414",
        "",
      ].join("\n"),
    );
  });

  it("gives the same as JSON, with every digit", async () => {
    const { out } = await compare(scores(2, 4, 1, 3), "rgb.png", "grey.png", "--json");
    expect(JSON.parse(out)).toEqual({
      model: "m",
      probability: expect.closeTo(0.6914624612740131, 15) as number,
      a: { id: "rgb.png", score: 3, std: Math.SQRT2, scores: [2, 4], status: "ok" },
      b: { id: "grey.png", score: 2, std: Math.SQRT2, scores: [1, 3], status: "ok" },
    });
  });

  it("has no probability where a picture has no score or no deviation, and says why", async () => {
    const broken = await compare(scores(2, 4, 1, 3), "rgb.png", "missing.png", "--json");
    expect(broken.code).toBe(1);
    expect(JSON.parse(broken.out)).toMatchObject({ probability: null, b: { score: null, code: "DATA_IMAGE_MISSING" } });
    expect(broken.err).toMatch(/^missing\.png: DATA_IMAGE_MISSING/m);
    const single = await compare([...scores(2, 4), "no idea", ...scores(3)], "rgb.png", "grey.png");
    expect(single.code).toBe(1);
    expect(single.out).toContain("a probability of -");
    expect(single.err).toContain("grey.png: fewer than two answers");
  });

  it.each([
    [["a.png", "b.png", "--model", "m", "--mode", "fast"], "--samples of at least 2"],
    [["a.png", "b.png", "--model", "m", "--mode", "reasoning", "--samples", "1"], "--samples of at least 2"],
    [["a.png", "b.png", "--model", "m", "--samples", "2"], "--mode fast"],
    [["a.png", "--model", "m"], "missing required argument"],
  ])("refuses %j as wrong usage", async (args, message) => {
    const io = commandIo(PICTURES);
    expect(await runCommandLine(["compare", ...args], io)).toBe(2);
    expect(io.stderr.text()).toContain(message);
  });
});

describe("the probability", () => {
  it("is the limit where nothing deviates", () => {
    const certain = (score: number) => ({ score, std: 0 });
    expect(probabilityBetter(certain(3), certain(2))).toBe(1);
    expect(probabilityBetter(certain(2), certain(3))).toBe(0);
    expect(probabilityBetter(certain(3), certain(3))).toBe(0.5);
    expect(probabilityBetter(certain(3), { score: 2, std: 1 })).toBeCloseTo(0.8413447460685429, 15);
  });

  it("is that of the other order, subtracted from 1", () => {
    const rating = fc.record({
      score: fc.double({ min: 1, max: 5, noNaN: true }),
      std: fc.double({ min: 0, max: 3, noNaN: true }),
    });
    fc.assert(
      fc.property(fc.tuple(rating, rating), ([a, b]) => {
        expect(probabilityBetter(a, b)! + probabilityBetter(b, a)!).toBeCloseTo(1, 12);
      }),
    );
  });
});
