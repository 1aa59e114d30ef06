/** The three programs of the design's public surface, as they stand there; what each name must be is asserted around them. */
import { describe, expectTypeOf, it } from "vitest";
import { z } from "zod";
import {
  compareEvaluations,
  createMetric,
  createSampler,
  createSchedule,
  defineConfig,
  defineReward,
  evaluate,
  groupAdvantages,
  loadConfig,
  loadRows,
  openPolicy,
  schedules,
  scoreRewards,
  toTrainBatch,
  train,
  type Evaluation,
  type EvaluationDifference,
  type Metric,
  type Policy,
  type Rating,
  type Row,
  type RunResult,
  type TrainerEvent,
} from "thurstone";

const signal = new AbortController().signal;
const config = defineConfig({
  model_name_or_path: "checkpoint",
  data_file_paths: "train.jsonl",
  image_folders: "images",
});
const rewards = { fidelity: 1, format: 0.5 };
const bytes = new Uint8Array();

describe("level 1, a run with an own reward", () => {
  it("compiles as written", async () => {
    const brief = defineReward({
      name: "brief",
      row: z.object({ mos: z.number() }),
      score: ({ completion, row }) => (completion.tokenIds.length < 40 + 8 * row.mos ? 1 : 0),
    });
    const run = train(config, {
      signal,
      rewards: { fidelity: 1, format: 0.5, brief: { reward: brief, weight: 0.2 } },
    });
    for await (const event of run) if (event.type === "step-end") console.log(event.step, event.metrics.reward);
    await run.result;

    expectTypeOf(run).toExtend<AsyncIterable<TrainerEvent> & AsyncDisposable>();
    expectTypeOf(run.result).toEqualTypeOf<Promise<RunResult>>();
    expectTypeOf(run).not.toHaveProperty("then");
  });
});

describe("level 2, an own loop", () => {
  const schedule = schedules.linear({ learningRate: 1e-6, totalSteps: 100 });

  it("compiles as written", async () => {
    await using policy = await openPolicy(config);
    for await (const { step, rows } of createSampler(await loadRows(config), config)) {
      const prompts = await policy.encode(rows);
      const groups = await policy.generate(prompts, { samples: 6, step, signal });
      const scored = await scoreRewards(groups, rewards, { signal });
      const advantages = groupAdvantages(scored.totals, { scale: "group" });
      await policy.forwardBackward(toTrainBatch(groups, advantages, { normaliser: "grpo" }), {
        surrogate: "clip",
        epsilon: 0.2,
        beta: 0.04,
      });
      await policy.optimStep({ step, learningRate: schedule(step) });
    }
    await policy.export("out/last");

    expectTypeOf(policy).toEqualTypeOf<Policy<Row>>();
  });

  it("takes a configuration from files as well, and a schedule by name", async () => {
    const loaded = await loadConfig(["mine.yaml"]);
    await using policy = await openPolicy(loaded);
    for await (const { step, rows } of createSampler(await loadRows(loaded), loaded)) {
      expectTypeOf(step).toBeNumber();
      expectTypeOf(rows).toEqualTypeOf<readonly Row[]>();
    }
    expectTypeOf(policy.version).toBeNumber();
    expectTypeOf(createSchedule({ type: "cosine", learningRate: 1e-6, totalSteps: 100 })).toEqualTypeOf(schedule);
  });
});

describe("level 3, scoring", () => {
  it("compiles as written", async () => {
    await using metric = await createMetric({ model: "assets/rated", mode: "expected" });
    for await (const rating of metric.score(["a.jpg", bytes])) console.log(rating.id, rating.score);

    expectTypeOf(metric).toEqualTypeOf<Metric>();
    expectTypeOf(metric.lowerBetter).toEqualTypeOf<false>();
    expectTypeOf(metric.scoreRange).toEqualTypeOf<readonly [1, 5]>();
    expectTypeOf<Rating["score"]>().toEqualTypeOf<number | null>();
    expectTypeOf<Rating["status"]>().toEqualTypeOf<"ok" | "clamped" | "failed">();
  });

  it("takes pictures that come one after the other", async () => {
    const metric = await createMetric({ model: "checkpoint", mode: "sampled", samples: 6, seed: 1 });
    async function* camera(): AsyncGenerator<Uint8Array> {
      yield bytes;
    }
    expectTypeOf(metric.score(camera(), { batch: 1, signal })).toEqualTypeOf<AsyncIterable<Rating>>();
    // @ts-expect-error numbers are no pictures
    metric.score([1]);
  });

  it("refuses a mode there is not", () => {
    // @ts-expect-error "fast" is no mode
    void createMetric({ model: "checkpoint", mode: "fast" });
  });
});

describe("evaluation", () => {
  it("is read by data set and estimator, and compared row by row", async () => {
    const before = await evaluate({ model: "start", data: "test.jsonl" });
    const after = await evaluate({
      model: "trained",
      data: ["test.jsonl"],
      estimators: ["sampled", "expected"],
      samples: 6,
      onProgress: ({ done, total }) => console.log(done / total),
      signal,
    });
    expectTypeOf(before).toEqualTypeOf<Evaluation>();
    expectTypeOf(after.results[0]!.estimators.sampled?.srcc).toEqualTypeOf<number | null | undefined>();
    expectTypeOf(compareEvaluations(before, after)).toEqualTypeOf<EvaluationDifference[]>();
    // @ts-expect-error there is no such estimator
    void evaluate({ model: "m", data: "d", estimators: ["best"] });
  });
});
