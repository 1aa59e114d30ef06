import { expect, it } from "vitest";
import type { ScoreRecord } from "../../../src/cli/scoring/formats.js";
import { failureLines } from "../../../src/cli/scoring/score-text.js";

const scored = (path: string, model: string): ScoreRecord => ({ path, model, score: 3, std: 0.5 });
const failed = (path: string, model: string, code: string): ScoreRecord => ({
  path,
  model,
  score: null,
  std: null,
  code,
  reason: `why ${code}`,
});

it("says once why a picture has no score, and by which models where it is not all of them", () => {
  const lines = failureLines([
    [scored("a.png", "m"), scored("a.png", "n")],
    [failed("b.png", "m", "DATA_IMAGE_BROKEN"), failed("b.png", "n", "DATA_IMAGE_BROKEN")],
    [scored("c.png", "m"), failed("c.png", "n", "METRIC_NO_SCORE")],
    [failed("d.png", "m", "ONE"), failed("d.png", "n", "OTHER")],
    [{ path: "e.png", model: "m", score: null, std: null }],
  ]);
  expect(lines).toEqual([
    "b.png: DATA_IMAGE_BROKEN  why DATA_IMAGE_BROKEN",
    "c.png (n): METRIC_NO_SCORE  why METRIC_NO_SCORE",
    "d.png (m): ONE  why ONE",
    "d.png (n): OTHER  why OTHER",
    "e.png: no score  ",
  ]);
});
