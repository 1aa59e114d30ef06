import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { advance, INITIAL_PROGRESS, plainLine, render, type ProgressState } from "../../src/cli/progress.js";
import { measure } from "../../src/trainer/evaluation/measure.js";
import type { EstimatorResult, StepMetrics, StepTimings, TrainerEvent } from "../../src/trainer/index.js";

const metrics: StepMetrics = {
  reward: 1.23456,
  reward_std: 0.2,
  "rewards/format/mean": 0.95,
  kl: null,
  entropy: 1.5,
  grad_norm: 0.000123,
  "completions/mean_length": 35.25,
  learning_rate: 1e-6,
};

const timings = (total: number): StepTimings => ({
  total,
  worker: 0.9 * total,
  bridge: 0.05 * total,
  control: 0.1 * total,
  encode: 0,
  generate: 1,
  rewards: 0,
  update: 1,
  bytesSent: 1_200_000,
  bytesReceived: 34_000,
});

const stepEnd = (step: number, seconds: number): TrainerEvent => ({
  type: "step-end",
  step,
  steps: 8,
  epoch: 0,
  metrics,
  timings: timings(seconds),
  sample: { row: "photo-3", text: "<think>sharp\n\nbut dark</think>\n<answer>3</answer>", reward: 1.5, mos: 3.125 },
});

const after = (...events: TrainerEvent[]): ProgressState => events.reduce(advance, INITIAL_PROGRESS);

const measured = (srcc: number, formatRate: number | null): EstimatorResult => ({
  ...measure([], { bootstrap: 1, seed: 0, onMissing: "fail" }),
  srcc,
  formatRate,
});

const evaluation: TrainerEvent = {
  type: "eval-end",
  step: 2,
  results: [
    {
      dataset: "kadid",
      n: 12,
      resampled: "groups",
      groups: 3,
      pictures: "",
      estimators: { greedy: measured(0.41234, 1), expected: measured(0.5, null) },
    },
  ],
};

const alarm: TrainerEvent = {
  type: "alarm",
  step: 2,
  name: "truncation",
  message: "30 % of the completions were cut off",
};

describe("the live view", () => {
  it("shows bar, time left, metrics, evaluation, alarms, a sample and what is going on", () => {
    const state = after(
      stepEnd(1, 2),
      stepEnd(2, 4),
      evaluation,
      alarm,
      { type: "step-start", step: 3, epoch: 0 },
      { type: "generate-progress", step: 3, tokens: 120, finished: 4 },
    );
    expect(render(state, 80)).toEqual([
      "[##########------------------------------] 2/8  3 s/step  ETA 18 s",
      "reward 1.235  reward_std 0.2  format 0.95  entropy 1.5  grad_norm 1.23e-4",
      "length 35.25  worker 85 %, bridge 5 %, TypeScript 10 %, 1.2 MB",
      "held out: kadid, 12 pictures  greedy srcc 0.4123  format 1  expected srcc 0.5",
      "! truncation, step 2: 30 % of the completions were cut off",
      "sample photo-3: reward 1.5, mos 3.125",
      "  <think>sharp but dark</think> <answer>3</answer>",
      "step 3: sampling, 120 tokens, 4 finished",
    ]);
  });

  it("starts without a bar and ends without a time left", () => {
    expect(render(INITIAL_PROGRESS, 40)).toEqual(["", "loading the model"]);
    expect(render(after({ ...stepEnd(8, 2), sample: null } as TrainerEvent), 44)[0]).toBe(
      "[############################] 8/8  2 s/step",
    );
  });

  it("counts from the step a resumed run goes on from", () => {
    const state = after({
      type: "run-start",
      folder: "output/run",
      plan: { steps: 8, rollouts: 8, promptsPerStep: 4, numGenerations: 6, updatesPerRollout: 1, leftOver: 0 },
      model: {} as never,
      resumedFrom: 4,
      mismatches: [],
    });
    expect(render(state, 30)[0]).toBe("[############------------] 4/8");
  });

  it("keeps a long sample to four lines", () => {
    const text = Array.from({ length: 40 }, (_, index) => `word${index}`).join(" ");
    const state = after({
      type: "rollout-end",
      step: 1,
      completions: 6,
      sample: { row: "a", text, reward: null, mos: null },
    });
    expect(render(state, 30)).toEqual([
      "",
      "sample a: reward -",
      "  word0 word1 word2 word3",
      "  word4 word5 word6 word7",
      "  word8 word9 word10 word11",
      "  ...",
      "step 1: updating",
    ]);
  });

  it("never writes a control character or a line wider than the terminal, whatever the model says", () => {
    const anyText = fc.oneof(
      fc.string({ unit: "binary" }),
      fc.constantFrom("\u001b[2J", "\r", "\u009b31m", "a".repeat(300)),
    );
    fc.assert(
      fc.property(anyText, fc.integer({ min: 20, max: 200 }), (text, width) => {
        const sample = { row: "r", text, reward: 1, mos: null };
        const lines = render(after({ type: "rollout-end", step: 1, completions: 1, sample }), width);
        expect(lines.every((line) => line.length <= width)).toBe(true);
        expect(lines.join("")).not.toMatch(/\p{Cc}/u);
      }),
    );
  });
});

describe("plain lines", () => {
  it("are written for what matters, one line each", () => {
    const state = after(stepEnd(1, 2), stepEnd(2, 4));
    expect(plainLine(state, stepEnd(2, 4))).toBe(
      "step 2/8  reward 1.235  reward_std 0.2  format 0.95  entropy 1.5  grad_norm 1.23e-4  length 35.25  3 s/step  ETA 18 s  worker 85 %, bridge 5 %, TypeScript 10 %, 1.2 MB",
    );
    expect(plainLine(state, evaluation)).toBe(
      "step 2  held out: kadid, 12 pictures  greedy srcc 0.4123  format 1  expected srcc 0.5",
    );
    expect(plainLine(state, alarm)).toBe("step 2  ! truncation: 30 % of the completions were cut off");
    const message = "the warm-up is over";
    expect(plainLine(state, { type: "fidelity-warmup-end", step: 4, srcc: 0.5, surplus: 0.02, message })).toBe(
      "step 4  the warm-up is over",
    );
    expect(plainLine(state, { type: "step-start", step: 3, epoch: 0 })).toBeUndefined();
  });
});
