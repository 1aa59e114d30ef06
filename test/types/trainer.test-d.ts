import { describe, expectTypeOf, it } from "vitest";
import { defineReward, openPolicy, sft, train } from "../../src/index.js";
import type {
  DatasetResult,
  EvaluateContext,
  ModelDescription,
  Policy,
  Prompt,
  RolloutGroup,
  Row,
  RunResult,
  SaveContext,
  SftMetrics,
  SftOptions,
  StepContext,
  StepMetrics,
  StepTimings,
  TrainerEvent,
  TrainingRun,
  TrainOptions,
} from "../../src/index.js";

const config = { model_name_or_path: "m" };

describe("TrainerEvent", () => {
  it("narrows on its type", () => {
    const event = {} as TrainerEvent;
    if (event.type === "step-end") {
      expectTypeOf(event.step).toEqualTypeOf<number>();
      expectTypeOf(event.metrics).toEqualTypeOf<StepMetrics>();
      expectTypeOf(event.timings).toEqualTypeOf<StepTimings>();
    }
    if (event.type === "run-start") expectTypeOf(event.model).toEqualTypeOf<ModelDescription>();
    if (event.type === "eval-end") expectTypeOf(event.results).toEqualTypeOf<readonly DatasetResult[]>();
    if (event.type === "run-end") expectTypeOf(event.reason).toEqualTypeOf<"finished" | "stopped">();
    // @ts-expect-error not every event has metrics
    void event.metrics;
    // @ts-expect-error there is no such event
    void (event.type === "step-finished");
  });

  it("is a closed union: a switch over its types needs no default", () => {
    const name = (event: TrainerEvent): string => {
      switch (event.type) {
        case "run-start":
        case "step-start":
        case "generate-progress":
        case "rollout-end":
        case "step-end":
        case "eval-end":
        case "checkpoint-end":
        case "fidelity-warmup-end":
        case "alarm":
        case "run-end":
          return event.type;
      }
    };
    expectTypeOf(name).returns.toBeString();
  });
});

describe("StepMetrics", () => {
  it("has a reward always, and other names perhaps", () => {
    const metrics = {} as StepMetrics;
    expectTypeOf(metrics.reward).toEqualTypeOf<number | null>();
    expectTypeOf(metrics.reward_std).toEqualTypeOf<number | null>();
    expectTypeOf(metrics["kl"]).toEqualTypeOf<number | null | undefined>();
  });
});

describe("train", () => {
  it("takes rewards by weight, by definition, or with a weight", () => {
    const own = defineReward({ name: "own", score: () => 1 });
    expectTypeOf(train).toBeCallableWith(config, { rewards: { fidelity: 1, own, heavy: { reward: own, weight: 2 } } });
    // @ts-expect-error a weight is a number
    void ((): TrainOptions => ({ rewards: { fidelity: "1" } }));
    // @ts-expect-error a bare function is no reward
    void ((): TrainOptions => ({ rewards: { own: () => 1 } }));
  });

  it("types the callbacks' contexts", () => {
    expectTypeOf<NonNullable<TrainOptions["callbacks"]>>().toEqualTypeOf<{
      readonly onStep?: (context: StepContext) => void | Promise<void>;
      readonly onSave?: (context: SaveContext) => void | Promise<void>;
      readonly onEvaluate?: (context: EvaluateContext) => void | Promise<void>;
    }>();
    // @ts-expect-error there is no such callback
    void ((): TrainOptions => ({ callbacks: { onEpoch: () => undefined } }));
  });

  it("knows the configuration's keys", () => {
    // @ts-expect-error the model is missing
    void (() => train({}));
    // @ts-expect-error a misspelt key
    void (() => train({ ...config, num_generation: 4 }));
    // @ts-expect-error a key of another type
    void (() => train({ ...config, learning_rate: "1e-6" }));
  });

  it("returns a run: events to iterate, a result, a stop, and no promise", () => {
    expectTypeOf(train).returns.toEqualTypeOf<TrainingRun>();
    expectTypeOf<TrainingRun["result"]>().toEqualTypeOf<Promise<RunResult>>();
    expectTypeOf<ReturnType<TrainingRun["stop"]>>().toEqualTypeOf<Promise<RunResult>>();
    expectTypeOf<TrainingRun>().toExtend<AsyncIterable<TrainerEvent> & AsyncDisposable>();
    expectTypeOf<Awaited<TrainingRun>>().toEqualTypeOf<TrainingRun>();
  });
});

describe("sft", () => {
  it("returns a run whose events and result speak of the loss", () => {
    expectTypeOf(sft).returns.toEqualTypeOf<TrainingRun<SftMetrics>>();
    const event = {} as TrainerEvent<SftMetrics>;
    if (event.type === "step-end") expectTypeOf(event.metrics.loss).toBeNumber();
    if (event.type === "eval-end") expectTypeOf(event.loss).toEqualTypeOf<number | undefined>();
    expectTypeOf<Awaited<TrainingRun<SftMetrics>["result"]>>().toEqualTypeOf<RunResult<SftMetrics>>();
  });

  it("takes callbacks and a signal, and no rewards", () => {
    void ((): SftOptions => ({ callbacks: { onStep: ({ metrics }) => void metrics.num_tokens } }));
    // @ts-expect-error nothing is rewarded
    void ((): SftOptions => ({ rewards: {} }));
  });

  it("knows the configuration's keys, and those of the other task", () => {
    expectTypeOf(sft).toBeCallableWith({ ...config, packing: true, max_seq_length: 4096 });
    // @ts-expect-error only reinforcement learning samples
    void (() => sft({ ...config, num_generations: 4 }));
  });
});

describe("Policy", () => {
  interface Question {
    readonly text: string;
  }

  it("carries the type of its rows from encode to generate", () => {
    const policy = {} as Policy<Question>;
    expectTypeOf(policy.encode).parameter(0).toEqualTypeOf<readonly Question[]>();
    expectTypeOf<Awaited<ReturnType<typeof policy.encode>>>().toEqualTypeOf<Prompt<Question>[]>();
    expectTypeOf<Awaited<ReturnType<typeof policy.generate>>>().toEqualTypeOf<RolloutGroup<Question>[]>();
    // @ts-expect-error prompts of other rows
    void (() => policy.generate([] as Prompt<Row>[], { samples: 1, step: 1 }));
    // @ts-expect-error no step
    void (() => policy.generate([], { samples: 1 }));
  });

  it("opened from a configuration takes the data's rows, and can be disposed of", () => {
    expectTypeOf<Awaited<ReturnType<typeof openPolicy>>>().toEqualTypeOf<Policy<Row>>();
    expectTypeOf<Policy>().toExtend<AsyncDisposable>();
  });
});
