import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { resultText } from "../../src/cli/result-text.js";
import { resolveConfig } from "../../src/config/index.js";
import { ConfigError } from "../../src/errors.js";
import { listCheckpoints } from "../../src/runs/index.js";
import type { FakePrompt } from "../../src/testing/index.js";
import { bestOf } from "../../src/trainer/best.js";
import type { HeldOutEvaluation } from "../../src/trainer/index.js";
import { createDataSet } from "../support/data-set.js";
import { runFake } from "../support/fake-run.js";

function evaluation(step: number, ...srccs: readonly (number | null)[]): HeldOutEvaluation {
  const results = srccs.map((srcc) => ({ dataset: "d", n: 2, estimators: { greedy: { scored: 2, srcc } } }));
  return { step, results: results as unknown as HeldOutEvaluation["results"] };
}

describe("bestOf", () => {
  it("is the first of the highest mean over data sets, among the steps that have a checkpoint", () => {
    const evaluations = [
      evaluation(0, 0.9, 0.9),
      evaluation(2, 0.2, 0.6),
      evaluation(4, 0.3, 0.5),
      evaluation(6, 0, 0),
    ];
    expect(bestOf(evaluations, [2, 4, 6])).toEqual({ step: 2, value: 0.4 });
    expect(bestOf(evaluations, [6])).toEqual({ step: 6, value: 0 });
    expect(bestOf(evaluations, [])).toBe(null);
  });

  it("passes over steps without an SRCC, and goes by the loss where nothing has a MOS", () => {
    expect(bestOf([evaluation(2, null, 0.9), evaluation(4, 0.1, -0.3)], [2, 4])?.step).toBe(4);
    const losses = [3, 1, 2].map((loss, at): HeldOutEvaluation => ({ step: at + 1, results: [], loss }));
    expect(bestOf(losses, [1, 2, 3])).toEqual({ step: 2, value: -1 });
    expect(bestOf([{ step: 1, results: [] }], [1])).toBe(null);
  });
});

describe("load_best_model_at_end", () => {
  it("keeps the best checkpoint besides the newest, and makes it the model", async () => {
    const set = await createDataSet({
      extra: (row) => ({
        conversations: [
          { from: "human", value: "x".repeat(row + 1) },
          { from: "gpt", value: 1 + row / 2 },
        ],
      }),
    });
    try {
      // After the second update longer questions are rated higher, as they should be, before and after it lower.
      const complete = ({ text, version }: FakePrompt): string =>
        `<think></think><answer>${(3 + (version === 2 ? 1 : -1) * (text.length / 1000)).toFixed(4)}</answer>`;
      const config = set.config("best", {
        load_best_model_at_end: true,
        eval_steps: 1,
        save_steps: 1,
        save_total_limit: 1,
        val_split_ratio: 0.5,
        prompts_per_step: 2,
      });
      const { result } = await runFake(config, {}, { complete });
      expect(result).toMatchObject({ step: 4, modelStep: 2 });
      expect(resultText(result).at(-1)).toContain("(of step 2, the best on held-out pictures)");
      const run = config.output_dir!;
      expect((await listCheckpoints(run)).map(({ step }) => step)).toEqual([2, 4]);
      const saved = JSON.parse(readFileSync(join(run, "checkpoints/step_000002/state.json"), "utf8")) as {
        weight: number;
      };
      expect(JSON.parse(readFileSync(join(run, "model/weight.json"), "utf8"))).toBe(saved.weight);
    } finally {
      set.remove();
    }
  });

  it.each([
    [{ eval_steps: null, val_split_ratio: 0.5 }, "Set eval_steps"],
    [{ eval_steps: 1, val_split_ratio: 0.5, save_only_model: true }, "save_only_model"],
  ])("is refused with %o", (keys, message) => {
    const config = {
      model_name_or_path: "m",
      data_file_paths: ["d"],
      image_folders: ["i"],
      load_best_model_at_end: true,
    };
    expect(() => resolveConfig({ ...config, ...keys })).toThrow(ConfigError);
    expect(() => resolveConfig({ ...config, ...keys })).toThrow(message);
  });
});
