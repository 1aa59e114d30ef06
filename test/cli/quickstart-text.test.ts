import { describe, expect, it } from "vitest";
import { quickstartPlot } from "../../src/cli/quickstart-plot.js";
import { quickstartText, riseOf, sparkline } from "../../src/cli/quickstart-text.js";
import type { EstimatorRise } from "../../src/cli/quickstart-text.js";
import type { MetricsRecord } from "../../src/runs/index.js";
import type { DatasetResult, EstimatorName, EstimatorResult, RunResult } from "../../src/trainer/index.js";

function measured(srcc: number | null): EstimatorResult {
  return {
    n: 4,
    labelled: 4,
    scored: 4,
    unparsable: 0,
    imputed: 0,
    responses: 4,
    unparsableResponses: 0,
    outOfRange: 0,
    truncated: 0,
    formatRate: 0.75,
    meanTokens: 9,
    spread: 1,
    meanStd: null,
    meanValidMass: null,
    srcc,
    srccInterval: srcc === null ? null : { low: srcc - 0.1, high: srcc + 0.1, resamples: 100 },
    krcc: null,
    plcc: null,
    plccInterval: null,
    fitted: null,
    pairwiseAccuracy: null,
    fidelity: null,
    types: [],
    meanTypeSrcc: null,
    reasons: {},
  };
}

function evaluation(
  step: number,
  scores: Partial<Record<EstimatorName, number | null>>,
): RunResult["evaluations"][number] {
  const estimators = Object.fromEntries(Object.entries(scores).map(([name, srcc]) => [name, measured(srcc)]));
  const result: DatasetResult = { dataset: "test", n: 4, resampled: "groups", groups: 2, pictures: "0", estimators };
  return { step, results: [result] };
}

function records(values: readonly (number | null)[]): MetricsRecord[] {
  return values.map((value, index) => ({
    seq: index + 1,
    step: index + 1,
    values: { batch_srcc: value, reward: value },
  }));
}

const rise: EstimatorRise[] = [
  { estimator: "sampled", before: measured(0.01), after: measured(0.66) },
  { estimator: "expected", before: measured(null), after: measured(0.71) },
];

describe("the rise of a quickstart", () => {
  it("sets the first evaluation against the last, estimator by estimator", () => {
    const found = riseOf([
      evaluation(0, { sampled: 0.1, greedy: null }),
      evaluation(50, { sampled: 0.3, greedy: 0.2 }),
      evaluation(100, { sampled: 0.6, greedy: 0.7 }),
    ]);
    expect(found.map(({ estimator, before, after }) => [estimator, before?.srcc, after?.srcc])).toEqual([
      ["sampled", 0.1, 0.6],
      ["greedy", null, 0.7],
    ]);
  });

  it("has nothing to say of after when a run ended at its first evaluation", () => {
    expect(riseOf([evaluation(0, { sampled: 0.1 })])).toMatchObject([{ estimator: "sampled", after: null }]);
    expect(riseOf([])).toEqual([]);
  });
});

describe("a sparkline", () => {
  it("goes from the lowest block at 0 and below to the full block at 1", () => {
    expect(sparkline([-0.5, 0, 0.5, 1], 60)).toBe("▁▁▅█");
  });

  it("averages neighbours when there are more values than columns", () => {
    expect(sparkline([0, 0, 1, 1, 0.4, 0.6], 3)).toBe("▁█▅");
    expect(sparkline([], 3)).toBe("");
  });
});

describe("the table of a quickstart", () => {
  const result: RunResult = {
    folder: "/runs/one",
    step: 3,
    steps: 3,
    reason: "finished",
    model: "/runs/one/model",
    modelStep: 3,
    metrics: { reward: 0.9, reward_std: 0.2 },
    evaluations: [],
    secondsPerStep: 1,
    controlSecondsPerStep: 0.01,
    peakMemory: { node: 2 ** 20, worker: 2 ** 21 },
  };
  const text = quickstartText({
    config: {
      eval_data_file_paths: ["/data/test.jsonl"],
      question_template: "{Question}",
      max_completion_length: 24,
      eval_samples: 6,
    },
    result,
    metrics: records([0, null, 0.5]),
    rise,
    plot: "/runs/one/quickstart.svg",
    seconds: 61,
  }).join("\n");

  it("shows each estimator before and after with its interval, and a dash where there is none", () => {
    expect(text).toMatch(/SRCC on unseen photographs, sampled +0\.010 \[-0\.09, 0\.11\] +0\.660 \[0\.56, 0\.76\]/);
    expect(text).toMatch(/SRCC on unseen photographs, expected +- +0\.710 \[0\.61, 0\.81\]/);
  });

  it("says what the labels are, what it cost and where to look", () => {
    expect(text).toContain("nobody\njudged these very pictures");
    expect(text).toContain("1 min 1 s in all");
    expect(text).toContain("look at the curves:  /runs/one/quickstart.svg");
    expect(text).toContain(
      'npx thurstone eval --model /runs/one/model --data /data/test.jsonl --question-template "{Question}" --max-completion-length 24 --samples 6',
    );
  });
});

describe("the plot of a quickstart", () => {
  const svg = quickstartPlot(records([0, null, 0.5, 1]), rise);

  it("draws one point per defined step, 0 to 1 from bottom to top", () => {
    const [raw] = [...svg.matchAll(/points="([^"]*)"/g)].map((match) => match[1]!);
    const heights = raw!.split(" ").map((point) => Number(point.split(",")[1]));
    expect(heights).toHaveLength(3);
    expect(heights[0]! - heights[1]!).toBeCloseTo(heights[1]! - heights[2]!, 1);
    expect(heights[0]).toBeGreaterThan(heights[2]!);
  });

  it("marks before hollow and after filled, and leaves out what has no correlation", () => {
    expect(svg.match(/<circle/g)).toHaveLength(3);
    expect(svg.match(/fill="#fff" stroke="#0072b2"/g)).toHaveLength(1);
    expect(svg).not.toContain("NaN");
  });
});
