import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { createFakeWorker } from "../../src/testing/index.js";
import type { FakeWorker, FakeWorkerOptions } from "../../src/testing/index.js";
import { createMetric } from "../../src/trainer/index.js";
import type { Metric, MetricInput, MetricMode, MetricOptions, Rating, ScoreOptions } from "../../src/trainer/index.js";

const picture = (name: string): string => fileURLToPath(new URL(`../golden/decode/${name}`, import.meta.url));
const RGB = picture("rgb.png");
const GREY = picture("grey.png");

interface Opened {
  readonly metric: Metric;
  readonly worker: FakeWorker;
}

async function open(options: Partial<MetricOptions>, answers: FakeWorkerOptions["complete"]): Promise<Opened> {
  const worker = createFakeWorker(answers && { complete: answers });
  const metric = await createMetric({ model: "fake", mode: "greedy", connect: worker.connect, ...options });
  return { metric, worker };
}

async function ratingsOf(
  metric: Metric,
  inputs: Iterable<MetricInput> | AsyncIterable<MetricInput>,
  options?: ScoreOptions,
): Promise<Rating[]> {
  const ratings: Rating[] = [];
  for await (const rating of metric.score(inputs, options)) ratings.push(rating);
  return ratings;
}

const answer = (score: string): string => `<answer>${score}</answer>`;
/** Answers of a group, one per sample. */
const answers =
  (...texts: readonly string[]) =>
  ({ sample }: { readonly sample: number }): string =>
    texts[sample]!;

describe("a metric", () => {
  it("says what its scores mean", async () => {
    const { metric } = await open({}, () => answer("3"));
    expect(metric).toMatchObject({ mode: "greedy", lowerBetter: false, scoreRange: [1, 5], model: { family: "fake" } });
    await metric.close();
  });

  it("loads for inference only", async () => {
    const { metric, worker } = await open({ dtype: "bfloat16", device: "cpu" }, () => answer("3"));
    expect(worker.calls[0]).toMatchObject({
      method: "load",
      params: { model: "fake", train: false, reference: false, torch_dtype: "bfloat16", device: "cpu" },
    });
    await metric.close();
  });

  it("asks the reference's question with the template of its mode, or what it is told to ask", async () => {
    const asked: string[] = [];
    const complete = ({ text }: { readonly text: string }): string => {
      asked.push(text);
      return answer("3");
    };
    const options: Partial<MetricOptions>[] = [
      { mode: "greedy" },
      { mode: "sampled", samples: 1, questionTemplate: "scoring_non_thinking" },
      { mode: "greedy", question: "Good?", questionTemplate: "Say: {Question}" },
    ];
    for (const option of options) {
      const { metric } = await open(option, complete);
      await ratingsOf(metric, [RGB]);
      await metric.close();
    }
    const golden = JSON.parse(readFileSync(new URL("../golden/prompt_golden.json", import.meta.url), "utf8")) as Record<
      string,
      string
    >;
    expect(asked).toEqual([golden["user_text_think"], golden["user_text_non_think"], "Say: Good?"]);
  });

  it("gives ratings in the order of the inputs, whatever the batch, and goes on behind a broken picture", async () => {
    const { metric } = await open({}, () => answer("3.5"));
    const bytes = readFileSync(RGB);
    const inputs = [RGB, Uint8Array.of(1, 2, 3), "missing.png", bytes, GREY];
    for (const batch of [1, 2, 5, 8]) {
      const ratings = await ratingsOf(metric, inputs, { batch });
      expect(ratings.map(({ id, score, status }) => [id, score, status])).toEqual([
        [RGB, 3.5, "ok"],
        ["bytes:1", null, "failed"],
        ["missing.png", null, "failed"],
        ["bytes:3", 3.5, "ok"],
        [GREY, 3.5, "ok"],
      ]);
      expect(ratings[1]!.reason).toContain("cannot be decoded");
      expect(ratings[2]!.reason).toContain("missing.png");
      expect(ratings[2]!.reason).not.toContain("row");
    }
    await metric.close();
  });

  it("shows the model the same for a file and for its bytes", async () => {
    const { metric, worker } = await open({}, () => answer("3"));
    await ratingsOf(metric, [RGB, readFileSync(RGB)], { batch: 1 });
    const keys = worker.calls
      .filter(({ method }) => method === "generate")
      .map(({ params }) => (params["images"] as readonly (readonly string[])[])[0]![0]);
    expect(keys[0]).toBe(keys[1]);
    await metric.close();
  });

  it("takes pictures that come one after the other, each once the one before is rated", async () => {
    const { metric } = await open({}, () => answer("3"));
    const rated: string[] = [];
    async function* inputs(): AsyncGenerator<string> {
      for (const path of [RGB, GREY]) {
        yield path;
        expect(rated).toContain(path);
      }
    }
    for await (const { id } of metric.score(inputs(), { batch: 1 })) rated.push(id);
    expect(rated).toEqual([RGB, GREY]);
    await metric.close();
  });

  it("closes its input when it is left early", async () => {
    const { metric } = await open({}, () => answer("3"));
    let closed = false;
    function* inputs(): Generator<string> {
      try {
        for (;;) yield RGB;
      } finally {
        closed = true;
      }
    }
    for await (const _ of metric.score(inputs(), { batch: 2 })) break;
    expect(closed).toBe(true);
    await metric.close();
  });

  it("ends with the reason of its signal", async () => {
    const { metric } = await open({}, () => answer("3"));
    const controller = new AbortController();
    const reason = new Error("enough");
    const ratings: Rating[] = [];
    await expect(async () => {
      for await (const rating of metric.score([RGB, GREY], { batch: 1, signal: controller.signal })) {
        ratings.push(rating);
        controller.abort(reason);
      }
    }).rejects.toBe(reason);
    expect(ratings).toHaveLength(1);
    await metric.close();
  });

  it("passes on what is not about a picture", async () => {
    const { metric } = await open({}, () => {
      throw new Error("out of order");
    });
    await expect(ratingsOf(metric, [RGB])).rejects.toThrow("out of order");
    await metric.close();
  });

  it("refuses what is no list of pictures", async () => {
    const { metric } = await open({}, () => answer("3"));
    const refused = { code: "METRIC_INPUT" };
    await expect(ratingsOf(metric, "a.png")).rejects.toMatchObject(refused);
    await expect(ratingsOf(metric, readFileSync(RGB) as unknown as string[])).rejects.toMatchObject(refused);
    await expect(ratingsOf(metric, [null] as unknown as string[])).rejects.toMatchObject(refused);
    await expect(ratingsOf(metric, [RGB], { batch: 0 })).rejects.toMatchObject({ code: "METRIC_OPTION" });
    await metric.close();
  });

  it.each<[Partial<MetricOptions>, string]>([
    [{ mode: "fast" as MetricMode }, "expected, greedy, sampled"],
    [{ mode: "expected", samples: 6 }, "sampled"],
    [{ mode: "greedy", seed: 1 }, "sampled"],
    [{ mode: "greedy", temperature: 1 }, "sampled"],
    [{ mode: "expected", maxCompletionLength: 9 }, "greedy and sampled"],
    [{ mode: "greedy", expectedAfter: "thinking" }, "expected"],
    [{ mode: "sampled", samples: 0 }, "integer from 1"],
  ])("refuses %o", async (options, message) => {
    await expect(open(options, () => answer("3"))).rejects.toMatchObject({
      code: "METRIC_OPTION",
      message: expect.stringContaining(message) as string,
    });
  });
});

describe("the greedy score", () => {
  it("is the one answer, with its text", async () => {
    const { metric, worker } = await open({}, () => `<think>Hm.</think>${answer("2.25")}`);
    expect(await ratingsOf(metric, [RGB])).toEqual([
      {
        id: RGB,
        score: 2.25,
        std: null,
        scores: [2.25],
        status: "ok",
        text: "<think>Hm.</think><answer>2.25</answer>",
      },
    ]);
    expect(worker.calls.find(({ method }) => method === "generate")!.params).toMatchObject({
      samples: 1,
      temperature: 0,
    });
    await metric.close();
  });

  it("is never made up", async () => {
    const { metric } = await open({ maxCompletionLength: 8 }, () => "I like this picture.");
    expect(await ratingsOf(metric, [RGB])).toEqual([
      {
        id: RGB,
        score: null,
        std: null,
        scores: [null],
        status: "failed",
        code: "METRIC_NO_SCORE",
        reason:
          'no score could be read from any of 1 answers; the first begins "I like t". 1 were cut at the greatest length.',
        text: "I like t",
      },
    ]);
    await metric.close();
  });
});

describe("the sampled score", () => {
  it("is the mean of the answers that can be read, with their spread", async () => {
    const complete = answers(answer("2"), "no idea", answer("4"), answer("9"));
    const { metric } = await open({ mode: "sampled", samples: 4 }, complete);
    const [rating] = await ratingsOf(metric, [RGB]);
    expect(rating).toMatchObject({ scores: [2, null, 4, 5], status: "clamped" });
    expect(rating!.score).toBeCloseTo(11 / 3, 12);
    expect(rating!.std).toBeCloseTo(Math.sqrt(7 / 3), 12);
    expect(rating).not.toHaveProperty("text");
    await metric.close();
  });

  it("has no spread with a single answer", async () => {
    const { metric } = await open({ mode: "sampled", samples: 2 }, answers(answer("2"), "no idea"));
    expect((await ratingsOf(metric, [RGB]))[0]).toMatchObject({ score: 2, std: null, status: "ok" });
    await metric.close();
  });

  it("takes six answers, and draws the same again for the same seed and place", async () => {
    const drawn = ({ draw }: { readonly draw: number }): string => answer((1 + 4 * draw).toFixed(3));
    const first = await open({ mode: "sampled" }, drawn);
    const ratings = await ratingsOf(first.metric, [RGB, GREY, RGB], { batch: 3 });
    expect(ratings[0]!.scores).toHaveLength(6);
    expect(ratings[0]!.scores).not.toEqual(ratings[2]!.scores);
    expect(await ratingsOf(first.metric, [RGB, GREY, RGB], { batch: 1 })).toEqual(ratings);
    expect(await ratingsOf(first.metric, [GREY, RGB], { start: 1 })).toEqual(ratings.slice(1));
    await first.metric.close();

    const other = await open({ mode: "sampled", seed: 7 }, drawn);
    expect((await ratingsOf(other.metric, [RGB]))[0]!.scores).not.toEqual(ratings[0]!.scores);
    await other.metric.close();
  });
});
