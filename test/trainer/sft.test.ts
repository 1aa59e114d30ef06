import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { sft } from "../../src/index.js";
import type { SftConfigInput, SftMetrics, SftOptions, TrainerEvent } from "../../src/index.js";
import { createFakeWorker } from "../../src/testing/index.js";
import type { FakeWorker, FakeWorkerOptions } from "../../src/testing/index.js";
import { createDataSet } from "../support/data-set.js";
import type { DataSet } from "../support/data-set.js";
import { methodsOf } from "../support/fake-run.js";

let set: DataSet;
beforeAll(async () => {
  set = await createDataSet();
});
afterAll(() => set.remove());

type Turn = readonly [from: "human" | "gpt", value: string | number];

/** A data file of rows with the given turns and pictures. */
function writeRows(name: string, rows: readonly { turns: readonly Turn[]; images?: string[]; mos?: number }[]): string {
  const path = join(set.folder, `${name}.jsonl`);
  const lines = rows.map(({ turns, images = [], ...more }, id) =>
    JSON.stringify({
      id,
      dataset_name: id % 2 === 0 ? "even" : "odd",
      image: images,
      conversations: turns.map(([from, value]) => ({ from, value })),
      ...more,
    }),
  );
  writeFileSync(path, lines.join("\n"));
  return path;
}

/** Eight rows whose answers have 1 to 8 letters. */
const letters = (): string =>
  writeRows(
    "letters",
    Array.from({ length: 8 }, (_, row) => ({
      turns: [
        ["human", `Question ${row}?`],
        ["gpt", "abcdefgh".slice(0, row + 1)],
      ],
      images: [`picture_${row}.png`],
    })),
  );

const config = (name: string, data: string, more: Partial<SftConfigInput> = {}): SftConfigInput => ({
  model_name_or_path: "none",
  data_file_paths: [data],
  image_folders: [set.images],
  output_dir: join(set.folder, name),
  question_template: "{Question}",
  per_device_train_batch_size: 2,
  gradient_accumulation_steps: 2,
  ...more,
});

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
      loss: { surrogate: "nll", beta: 0, old: "detach" },
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
});
