import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import sharp from "sharp";
import { writeEvaluation } from "../../../src/index.js";
import type { DatasetResult, Evaluation, Prediction } from "../../../src/index.js";
import { canonicalJson } from "../../../src/trainer/evaluation/canonical.js";
import { digestModel } from "../../../src/trainer/evaluation/digests.js";
import { measure } from "../../../src/trainer/evaluation/measure.js";
import { plotSvg } from "../../../src/trainer/evaluation/plot.js";
import { predictionsOf } from "./predictions.js";

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "thurstone-test-"));
});
afterAll(() => rmSync(folder, { recursive: true }));

const resultOf = (dataset: string, predictions: readonly Prediction[]): DatasetResult => ({
  dataset,
  n: predictions.length,
  resampled: "rows",
  groups: predictions.length,
  pictures: "",
  estimators: { greedy: measure(predictions, { bootstrap: 20, seed: 1, onMissing: "fail" }) },
});

const scores = Array.from({ length: 20 }, (_, row) => 1 + row / 5);
const labels = scores.map((score, row) => 10 * score + ((row * 7) % 5));

describe("a plot", () => {
  it("shows every prediction with score and label once, the fitted curve, and what was fitted on what", async () => {
    const predictions = predictionsOf([...scores, null, 3], [...labels, 20, null]);
    const svg = plotSvg(resultOf("made", predictions), predictions);
    expect(svg.match(/<circle /g)).toHaveLength(20);
    expect(svg.match(/<polyline /g)).toHaveLength(1);
    expect(svg).toContain("fitted on test: PLCC 0.9");
    expect(svg).toMatch(/>made, 22 pictures</);
    // A real renderer takes it, and the points are in the panel: colour is found where they are.
    const { data, info } = await sharp(Buffer.from(svg)).raw().toBuffer({ resolveWithObject: true });
    expect([info.width, info.height]).toEqual([380, 406]);
    expect(new Set(data).size).toBeGreaterThan(20);
  });

  it("stands also where nothing was scored or all labels are equal, and escapes names", async () => {
    for (const predictions of [predictionsOf([null, null], [1, 2]), predictionsOf([2, 3, 4], [5, 5, 5])]) {
      const svg = plotSvg(resultOf("<a> & b", predictions), predictions);
      expect(svg).toContain("&lt;a&gt; &amp; b");
      expect(svg).toContain("no logistic fit");
      expect(svg).not.toMatch(/NaN|Infinity/);
      await sharp(Buffer.from(svg)).toBuffer();
    }
  });
});

describe("writeEvaluation", () => {
  it("gives every data set a plot of its own, whatever characters its name holds", async () => {
    const names = ["kadid/10k", "kadid 10k", "..", "\u00e9t\u00e9"];
    const predictions = names.flatMap((dataset) => predictionsOf(scores, labels, () => ({ dataset })));
    const results = names.map((dataset) =>
      resultOf(
        dataset,
        predictions.filter((one) => one.dataset === dataset),
      ),
    );
    await writeEvaluation(join(folder, "out"), { results, predictions } as unknown as Evaluation);
    expect(readdirSync(join(folder, "out/plots")).sort()).toEqual(
      ["kadid_10k.svg", "kadid_10k_2.svg", "_.svg", "\u00e9t\u00e9.svg"].sort(),
    );
    expect(readFileSync(join(folder, "out/predictions.jsonl"), "utf8").trimEnd().split("\n")).toHaveLength(80);
  });
});

describe("canonical JSON", () => {
  it("does not depend on the order of keys, and keeps that of lists", () => {
    const one = canonicalJson({ b: [{ y: 1, x: null }, 2], a: "t", c: undefined });
    expect(one).toBe('{"a":"t","b":[{"x":null,"y":1},2]}');
    expect(canonicalJson({ a: "t", b: [{ x: null, y: 1 }, 2] })).toBe(one);
  });

  it("refuses numbers that JSON would turn into null", () => {
    expect(() => canonicalJson({ a: Number.NaN })).toThrow(RangeError);
  });
});

describe("a model's digest", () => {
  it("is that of its files, by name and content", async () => {
    writeFileSync(join(folder, "config.json"), "{}");
    const before = await digestModel(folder);
    expect(before.files).toEqual([
      {
        name: "config.json",
        bytes: 2,
        sha256: "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a",
      },
    ]);
    writeFileSync(join(folder, "config.json"), "[]");
    expect((await digestModel(folder)).sha256).not.toBe(before.sha256);
    expect(await digestModel("Qwen/none", "main")).toEqual({
      name: "Qwen/none",
      revision: "main",
      files: null,
      sha256: null,
    });
  });
});
