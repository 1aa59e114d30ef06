import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { openRun, schedules, sft } from "../../src/index.js";
import type { SftConfigInput, SftMetrics, SftOptions, TrainerEvent } from "../../src/index.js";
import { createFakeWorker } from "../../src/testing/index.js";
import type { FakeWorker, FakeWorkerOptions } from "../../src/testing/index.js";
import { meddle, methodsOf } from "../support/fake-run.js";
import { makeSftRows } from "./sft-rows.js";
import type { Turn } from "./sft-rows.js";

const { set, writeRows, letters, config } = await makeSftRows();

async function run(input: SftConfigInput, options: SftOptions = {}, fake: FakeWorkerOptions = {}) {
  const worker = createFakeWorker(fake);
  const training = sft(input, { connect: worker.connect, ...options });
  const events: TrainerEvent<SftMetrics>[] = [];
  for await (const event of training) events.push(event);
  return { worker, events, result: await training.result };
}

const callsOf = (worker: FakeWorker, method: string) => worker.calls.filter((call) => call.method === method);

/** What an update's passes hold: for each answer its prompt and its text, and all weights. */
function lessonsOf(worker: FakeWorker): { prompt: string; answer: string; weights: number[]; pass: number }[] {
  return callsOf(worker, "forwardBackward").flatMap(({ tensors }, pass) => {
    const cut = (name: string, lengths: string): number[][] => {
      let at = 0;
      const flat = Array.from(tensors[name]!.data as Int32Array);
      return Array.from(tensors[lengths]!.data as Int32Array, (length) => flat.slice(at, (at += length)));
    };
    const text = (ids: number[]): string => Buffer.from(ids.map((id) => (id > 255 ? 35 : id))).toString("utf8");
    const prompts = cut("prompt_ids", "prompt_lengths").map(text);
    const sizes = Array.from(tensors["group_sizes"]!.data as Int32Array);
    const owners = sizes.flatMap((size, group) => Array.from({ length: size }, () => prompts[group]!));
    const weights = cut("weights", "completion_lengths");
    return cut("completion_ids", "completion_lengths").map((ids, index) => ({
      prompt: owners[index]!,
      answer: text(ids),
      weights: weights[index]!,
      pass,
    }));
  });
}

describe("a supervised run", () => {
  it("takes one update of as many rows as configured, answers only, every answer token the same", async () => {
    const { worker, result, events } = await run(config("plain", letters()));
    const step = ["tokenize", "forwardBackward", "forwardBackward", "optimStep"];
    expect(methodsOf(worker, ["images", "encode", "describe", "tokenize"])).toEqual([
      "load",
      ...step.slice(1),
      ...step.slice(1),
      "save",
      "export",
    ]);
    expect(callsOf(worker, "load")[0]!.params).toMatchObject({ train: true, reference: false });
    expect(callsOf(worker, "forwardBackward").map(({ params }) => [params["step"], params["part"]])).toEqual([
      [1, 0],
      [1, 1],
      [2, 0],
      [2, 1],
    ]);
    expect(callsOf(worker, "forwardBackward")[0]!.params).toMatchObject({
      temperature: 1,
      loss: { surrogate: "nll", beta: null, old: null },
    });

    const lessons = lessonsOf(worker);
    expect(lessons.map(({ answer }) => answer).toSorted()).toEqual(
      Array.from({ length: 8 }, (_, row) => `${"abcdefgh".slice(0, row + 1)}#`),
    );
    for (const update of [lessons.slice(0, 4), lessons.slice(4)]) {
      const tokens = update.reduce((total, { answer }) => total + answer.length, 0);
      for (const { answer, weights } of update) {
        expect(weights).toEqual(Array.from({ length: answer.length }, () => Math.fround(1 / tokens)));
      }
    }
    expect(result).toMatchObject({ step: 2, steps: 2, reason: "finished" });
    expect(result.metrics).toMatchObject({ epoch: 1, loss: expect.closeTo(-1, 6) as number, learning_rate: 5e-7 });
    expect(events.map(({ type }) => type)).toEqual([
      "run-start",
      "step-start",
      "step-end",
      "step-start",
      "step-end",
      "checkpoint-end",
      "run-end",
    ]);
  });

  it("makes one example of every answer of a conversation, with the pictures shown so far", async () => {
    const data = writeRows("turns", [
      {
        turns: [
          ["human", "First <image>?"],
          ["gpt", "one"],
          ["human", "And <image> with <image>?"],
          ["gpt", 2.5],
        ],
        images: ["picture_0.png", "picture_2.png", "picture_4.png"],
      },
      {
        turns: [
          ["human", "No picture."],
          ["gpt", "none"],
        ],
      },
    ]);
    const { worker } = await run(
      config("turns", data, { per_device_train_batch_size: 2, gradient_accumulation_steps: 1 }),
    );
    // A picture of 56 x 56 is four tokens.
    const lessons = Object.fromEntries(lessonsOf(worker).map(({ prompt, answer }) => [prompt, answer]));
    expect(lessons).toEqual({
      "First ####?": "one#",
      "First ####?oneAnd #### with ####?": "2.5#",
      "No picture.": "none#",
    });
    const images = callsOf(worker, "forwardBackward").flatMap(({ params }) => params["images"] as string[][]);
    expect(new Set(images.map((keys) => keys.length))).toEqual(new Set([0, 1, 3]));
  });

  it("fills passes by tokens when it packs, by rows when it does not, and the weights are the same", async () => {
    const data = letters();
    const plain = await run(config("by-rows", data));
    const packed = await run(config("by-tokens", data, { packing: true, max_seq_length: 60 }));
    const passes = (worker: FakeWorker): number[][] =>
      callsOf(worker, "forwardBackward").map(({ tensors }) => {
        return [
          tensors["completion_lengths"]!.data.length,
          tensors["prompt_ids"]!.data.length + tensors["completion_ids"]!.data.length,
        ];
      });
    // A prompt is 11 letters and a picture of 4 or 6 tokens, so 60 tokens hold three or two rows of them.
    expect(passes(plain.worker).map(([rows]) => rows)).toEqual([2, 2, 2, 2]);
    for (const [rows, tokens] of passes(packed.worker)) {
      expect(tokens).toBeLessThanOrEqual(60);
      expect(rows).toBeLessThanOrEqual(3);
    }
    const byAnswer = (worker: FakeWorker) =>
      lessonsOf(worker)
        .map(({ answer, weights }) => ({ answer, weights }))
        .toSorted((a, b) => a.answer.length - b.answer.length);
    expect(byAnswer(packed.worker)).toEqual(byAnswer(plain.worker));
    const update = lessonsOf(packed.worker).slice(0, 4);
    const lengths = update.map(({ prompt }) => prompt.length);
    expect(lengths).toEqual(lengths.toSorted((a, b) => a - b));
  });

  it("lets answers to one and the same prompt share it", async () => {
    const same: { turns: Turn[] }[] = ["a", "bb", "ccc", "dddd"].map((answer) => ({
      turns: [
        ["human", "The same."],
        ["gpt", answer],
      ],
    }));
    const { worker } = await run(
      config("shared", writeRows("shared", same), { per_device_train_batch_size: 4, gradient_accumulation_steps: 1 }),
    );
    const [pass] = callsOf(worker, "forwardBackward");
    expect(Array.from(pass!.tensors["group_sizes"]!.data as Int32Array)).toEqual([4]);
    expect(Array.from(pass!.tensors["completion_index"]!.data as Int32Array)).toEqual([0, 1, 2, 3]);
    expect(
      lessonsOf(worker)
        .map(({ answer }) => answer.length)
        .toSorted((a, b) => a - b),
    ).toEqual([2, 3, 4, 5]);
  });

  it("shuffles data sets into one another, with the seed alone", async () => {
    const order = async (name: string, seed: number): Promise<string[]> =>
      lessonsOf((await run(config(name, letters(), { seed, num_train_epochs: 2 }))).worker).map(({ answer }) => answer);
    const first = await order("seed-1", 1);
    expect(await order("seed-1-again", 1)).toEqual(first);
    expect(await order("seed-2", 2)).not.toEqual(first);
    expect(new Set(first.slice(0, 8)).size).toBe(8);
  });

  it("follows the schedule, and logs every so many steps", async () => {
    const more = { lr_scheduler_type: "cosine", learning_rate: 1, warmup_ratio: 0.25, num_train_epochs: 4 } as const;
    const input = config("schedule", letters(), { ...more, logging_steps: 3 });
    const { worker, result } = await run(input);
    const schedule = schedules.cosine({ learningRate: 1, warmupSteps: 2, totalSteps: 8 });
    expect(callsOf(worker, "optimStep").map(({ params }) => params["learning_rate"])).toEqual(
      [1, 2, 3, 4, 5, 6, 7, 8].map(schedule),
    );
    const logged = await (await openRun(result.folder)).metrics();
    expect(logged.map(({ step }) => step)).toEqual([3, 6, 8]);
    expect(Object.keys(logged[0]!.values)).toEqual([
      "epoch",
      "loss",
      "entropy",
      "grad_norm",
      "learning_rate",
      "num_tokens",
    ]);
  });

  it("evaluates the loss of held-out answers, and the model's ratings where a row has a score", async () => {
    const answer = (score: string): Turn[] => [
      ["human", "Rate it."],
      ["gpt", `<think>a</think><answer>${score}</answer>`],
    ];
    const heldOut = writeRows("held-out", [
      { turns: answer("1.00"), images: ["picture_0.png"] },
      { turns: answer("5.00"), images: ["picture_1.png"], mos: 2 },
      {
        turns: [
          ["human", "Rate it."],
          ["gpt", 3],
        ],
        images: ["picture_2.png"],
      },
      {
        turns: [
          ["human", "Say something."],
          ["gpt", "something"],
        ],
      },
      { turns: answer("4.00"), images: ["picture_3.png"] },
      { turns: answer("2.50"), images: ["picture_4.png"] },
    ]);
    const asked: string[] = [];
    const { events, result } = await run(
      config("evaluated", letters(), {
        eval_data_file_paths: [heldOut],
        eval_image_folders: [set.images],
        eval_steps: 1,
      }),
      {},
      {
        complete: ({ text, version }) => {
          asked.push(text);
          return `<think>a</think><answer>${version + 1}</answer>`;
        },
      },
    );
    expect(new Set(asked)).toEqual(new Set(["Rate it."]));
    // The fake worker's log-probabilities are all -1.
    expect(result.evaluations.map(({ step, loss }) => [step, loss])).toEqual([
      [0, 1],
      [1, 1],
      [2, 1],
    ]);
    expect(result.evaluations[0]!.results.map(({ dataset, n }) => [dataset, n])).toEqual([
      ["even", 3],
      ["odd", 2],
    ]);
    const ends = events.filter((event) => event.type === "eval-end");
    expect(ends.map(({ step, loss }) => [step, loss])).toEqual([
      [0, 1],
      [1, 1],
      [2, 1],
    ]);
    const records = await (await openRun(result.folder)).evaluation(1);
    expect(records.map((record) => record["loss"] ?? record["dataset"])).toEqual([1, "even", "odd"]);
  });

  it("asks no answers of rows that have no score", async () => {
    const data = letters();
    const { worker, result } = await run(config("unrated", data, { val_split_ratio: 0.4, max_steps: 1 }));
    expect(callsOf(worker, "generate")).toEqual([]);
    expect(result.evaluations.map(({ results, loss }) => [results, loss])).toEqual([
      [[], 1],
      [[], 1],
    ]);
  });

  it("calls back, and stops after the step under way", async () => {
    const called: string[] = [];
    const worker = createFakeWorker();
    const training = sft(config("stopped", letters(), { num_train_epochs: 3 }), {
      connect: worker.connect,
      callbacks: {
        onStep: ({ step, metrics }) => {
          called.push(`step ${step}, ${metrics.num_tokens > 0}`);
          if (step === 2) void training.stop();
        },
        onSave: ({ step }) => void called.push(`save ${step}`),
      },
    });
    expect(await training.result).toMatchObject({ step: 2, steps: 6, reason: "stopped" });
    expect(called).toEqual(["step 1, true", "step 2, true", "save 2"]);
    expect(worker.open).toBe(0);
  });

  it("ends at once with the signal's reason", async () => {
    const abort = new AbortController();
    const reason = new Error("enough");
    const training = sft(config("aborted", letters()), { connect: createFakeWorker().connect, signal: abort.signal });
    for await (const event of training) {
      if (event.type !== "step-end") continue;
      abort.abort(reason);
      break;
    }
    await expect(training.result).rejects.toBe(reason);
  });

  it("goes on from a checkpoint as if nothing had happened", async () => {
    const base = { val_split_ratio: 0.25, eval_steps: 1, save_steps: 1, max_steps: 4, gradient_accumulation_steps: 1 };
    const data = letters();
    const record = ({ output_dir: folder }: SftConfigInput): unknown =>
      ["metrics.jsonl", "checkpoints/step_000004/trainer.json", "checkpoints/step_000004/state.json"].map((name) =>
        readFileSync(join(folder!, name), "utf8"),
      );
    const whole = config("whole", data, base);
    await run(whole);
    const pulled = config("pulled", data, base);
    let updates = 0;
    const connect = meddle(createFakeWorker(), {
      before(method) {
        if (method === "optimStep" && ++updates === 3) throw new Error("pulled");
      },
    });
    await expect(sft(pulled, { connect }).result).rejects.toThrow("pulled");
    await run({ ...pulled, resume_from_checkpoint: true });
    expect(record(pulled)).toEqual(record(whole));
  });
});
