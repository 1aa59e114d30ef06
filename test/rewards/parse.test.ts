import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { formatReward, parseScore } from "../../src/rewards/index.js";
import { readGolden } from "../golden/read.js";

const golden = readGolden<{ cases: { text: string; score: number | "random"; format: number }[] }>("parse").cases;
const { unparsable_examples: unparsable } = readGolden<{ unparsable_examples: { text: string; format: number }[] }>(
  "rewards",
);
const parity = { referenceParity: true };

/** Texts made of the pieces that matter to a parser, in any order. */
const pieces = fc
  .array(
    fc.oneof(
      fc.constantFrom("<think>", "</think>", "<answer>", "</answer>", "3.5", "5", "-1", "/5", " ", "\n", "a", "."),
      fc.string({ maxLength: 3, unit: "grapheme" }),
    ),
    { maxLength: 14 },
  )
  .map((parts) => parts.join(""));

describe("parseScore with referenceParity", () => {
  it.each(golden)("reads $text as the reference does", ({ text, score }) => {
    expect(parseScore(text, parity)).toEqual(
      score === "random" ? { status: "failed", score: null } : { status: "ok", score },
    );
  });

  it.each(unparsable)("fails on $text, where the reference makes up a score", ({ text }) => {
    expect(parseScore(text, parity)).toEqual({ status: "failed", score: null });
  });
});

describe("parseScore", () => {
  it.each([
    ["<think>sharp</think><answer>3.75</answer>", 3.75],
    ["<answer>2.5</answer>", 2.5],
    ["<answer>\n 4.00 \n</answer> and more", 4],
    ["<answer>3.5/5</answer>", 3.5],
    ["<answer>3.5 / 5</answer>", 3.5],
    ["<answer>+2.5</answer>", 2.5],
    ["<answer>3.</answer>", 3],
    ["<answer>1.1</answer><answer>2.2</answer>", 2.2],
    ["<answer>2.2</answer><answer>no end 4", 2.2],
    ["<answer>\uff14.5</answer>", 4.5],
  ])("reads %j as %f", (text, score) => {
    expect(parseScore(text)).toEqual({ status: "ok", score });
  });

  it.each([
    ["<answer>0</answer>", 1],
    ["<answer>.5</answer>", 1],
    ["<answer>-1.5</answer>", 1],
    ["<answer>100.25</answer>", 5],
    ["<answer>5.01/5</answer>", 5],
  ])("brings %j to %f and says so", (text, score) => {
    expect(parseScore(text)).toEqual({ status: "clamped", score });
  });

  it.each([
    "",
    "3.2",
    "<answer>3.3",
    "3.3</answer>",
    "</answer>3<answer>",
    "<Answer>3</Answer>",
    "<answer></answer>",
    "<answer>good</answer>",
    "<answer>4 out of 5</answer>",
    "<answer>3,5</answer>",
    "<answer>4.5.6</answer>",
    "<answer>3/10</answer>",
    "<answer>1e3</answer>",
    "<answer>NaN</answer>",
    "<answer>Infinity</answer>",
    "<answer>.</answer>",
    "<answer>3</answer><answer>bad</answer>",
    `<answer>${"9".repeat(400)}</answer>`,
  ])("fails on %j", (text) => {
    expect(parseScore(text)).toEqual({ status: "failed", score: null });
  });

  it("never throws, and a score is null exactly when it failed, finite and in range otherwise", () => {
    fc.assert(
      fc.property(fc.oneof(pieces, fc.string({ unit: "binary" })), (text) => {
        const { status, score } = parseScore(text);
        if (status === "failed") expect(score).toBeNull();
        else expect(score! >= 1 && score! <= 5).toBe(true);
        const lenient = parseScore(text, parity);
        expect(lenient.status === "failed" ? lenient.score === null : Number.isFinite(lenient.score)).toBe(true);
      }),
      { numRuns: 2000 },
    );
  });

  it("reads back any score a model may write to two decimals", () => {
    fc.assert(
      fc.property(pieces, fc.integer({ min: 100, max: 500 }), (before, hundredths) => {
        const text = `${before}<answer></answer><answer>${(hundredths / 100).toFixed(2)}</answer>`;
        fc.pre(!before.includes("<answer>"));
        expect(parseScore(text)).toEqual({ status: "ok", score: hundredths / 100 });
      }),
    );
  });

  it("reads a hostile text of a million characters at once", () => {
    for (const part of ["<answer>", "<answer></answer", "9", "<answer>9"]) {
      const text = part.repeat(1_000_000 / part.length);
      expect(parseScore(text).status).toBe("failed");
      expect(parseScore(`<answer>${text}x</answer>`).status).toBe("failed");
    }
  });
});

describe("formatReward", () => {
  it.each(golden)("with referenceParity judges $text as the reference does", ({ text, format }) => {
    expect(formatReward(text, parity)).toBe(format);
  });

  it.each([
    "<think>sharp</think><answer>3.75</answer>",
    "<think></think>\n\t <answer> 4 </answer>",
    "<think>a\nb</think>\u00a0<answer>9</answer>",
    "<think>a</think>\u001c<answer>4/5</answer>",
  ])("pays for %j", (text) => {
    expect(formatReward(text)).toBe(1);
  });

  it.each([
    "",
    "<answer>3</answer>",
    " <think>a</think><answer>4</answer>",
    "<think>a</think><answer>4</answer>\n",
    "<think>a</think> then <answer>4</answer>",
    "<think>a</think><answer>good</answer>",
    "<think>a</think><answer></answer>",
    "<think>a</think> b <think>c</think><answer>4</answer>",
    "<think>a</think><answer>1</answer><answer>2</answer>",
    "<think>x <answer>1.5</answer> y</think><answer>2.5</answer>",
    "<answer>3.5</answer><think>a</think>",
    "<think>a<answer>3.5</answer></think>",
  ])("does not pay for %j", (text) => {
    expect(formatReward(text)).toBe(0);
  });

  it("asks for the answer alone where the question does not ask for thinking", () => {
    expect(formatReward("<answer>3</answer>", { thinking: false })).toBe(1);
    expect(formatReward("<think>a</think><answer>3</answer>", { thinking: false })).toBe(0);
    expect(formatReward("I say <answer>3</answer>", { thinking: false })).toBe(0);
  });

  it("pays only where the reference pays too, and only for what parses", () => {
    fc.assert(
      fc.property(pieces, (text) => {
        if (formatReward(text) === 0) return;
        expect(formatReward(text, parity)).toBe(1);
        expect(parseScore(text).status).not.toBe("failed");
      }),
      { numRuns: 2000 },
    );
  });
});
