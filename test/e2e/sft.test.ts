import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { loadRows, loadSftConfig, sft } from "../../src/index.js";
import type { RunResult, SftConfigInput, SftMetrics } from "../../src/index.js";
import { findPython } from "../../src/python/index.js";
import { startReusedWorker } from "./reused-worker.js";
import type { ReusedWorker } from "./reused-worker.js";
import { recordOf, runChild } from "./run-child.js";
import { largestDifference, readTensors } from "./safetensors.js";
import type { Tensor } from "./safetensors.js";
import { createWorkspace } from "./workspace.js";
import type { Workspace } from "./workspace.js";

const REFERENCE = fileURLToPath(new URL("./reference_nll.py", import.meta.url));
const SHIPPED = fileURLToPath(new URL("../../configs/qwen2vl_sft_config.yaml", import.meta.url));

/** Conversations of different lengths: none to three pictures, in the first turn or a later one. */
const CONVERSATIONS: readonly { readonly images: string[]; readonly turns: readonly string[] }[] = [
  { images: ["picture_0.png"], turns: ["Rate the quality.", "<think>soft</think><answer>2.50</answer>"] },
  {
    images: ["picture_1.png", "picture_2.png", "picture_3.png"],
    turns: [
      "Rate <image>.",
      "It is good.",
      "Is <image> better than <image> or not?",
      "No, it is worse.",
      "Why?",
      "Noise.",
    ],
  },
  { images: [], turns: ["Rate the weather of today, from 1 to 5.", "4"] },
  { images: ["picture_4.png"], turns: ["Rate it.", "<think>sharp and clear</think><answer>4.20</answer>"] },
];

let workspace: Workspace;
let worker: ReusedWorker;
let data: string;
beforeAll(async () => {
  workspace = await createWorkspace();
  worker = await startReusedWorker(workspace.config("any"));
  data = join(workspace.folder, "dialogues.jsonl");
  const lines = CONVERSATIONS.map(({ images, turns }, id) =>
    JSON.stringify({
      id,
      dataset_name: "tiny",
      image: images,
      conversations: turns.map((value, turn) => ({ from: turn % 2 === 0 ? "human" : "gpt", value })),
    }),
  );
  writeFileSync(data, lines.join("\n"));
});
afterAll(async () => {
  await worker[Symbol.asyncDispose]();
  workspace.remove();
});

const config = (name: string, more: Partial<SftConfigInput> = {}): SftConfigInput => ({
  model_name_or_path: workspace.model,
  data_file_paths: [data],
  image_folders: [workspace.images],
  output_dir: join(workspace.folder, name),
  question_template: "{Question}",
  worker_threads: 1,
  per_device_train_batch_size: 2,
  gradient_accumulation_steps: 2,
  lr_scheduler_type: "constant",
  max_completion_length: 10,
  ...more,
});

/** Loss and gradient norm of the data's conversations in plain transformers. */
async function reference(): Promise<{ loss: number; tokens: number; grad_norm: number }> {
  const rows = await loadRows({ data_file_paths: [data], image_folders: [workspace.images] }, { answers: "text" });
  const input = { model: workspace.model, conversations: rows.map(({ messages, images }) => ({ messages, images })) };
  const output = execFileSync(findPython().python, [REFERENCE], {
    input: JSON.stringify(input),
    env: { ...process.env, OMP_NUM_THREADS: "1" },
    stdio: ["pipe", "pipe", "ignore"],
  });
  return JSON.parse(String(output)) as { loss: number; tokens: number; grad_norm: number };
}

/** Adam's moments after a run's first step, by name: a tenth of the gradient, and a thousandth of its square. */
const momentsOf = (folder: string): Map<string, Tensor> =>
  readTensors(join(folder, "checkpoints/step_000001/optimizer.safetensors"));

describe("supervised fine-tuning on a real worker", () => {
  it("has the loss and the gradient of transformers' own cross entropy, and learns its examples", async () => {
    const steps: SftMetrics[] = [];
    const settings = config("overfit", { max_steps: 40, learning_rate: 5e-3, max_grad_norm: null });
    const run = sft(settings, { connect: worker.connect });
    for await (const event of run) if (event.type === "step-end") steps.push(event.metrics);
    const expected = await reference();
    expect(steps[0]!.num_tokens).toBe(expected.tokens);
    expect(Math.abs(steps[0]!.loss - expected.loss)).toBeLessThan(1e-5);
    expect(Math.abs(steps[0]!["grad_norm"]! - expected.grad_norm)).toBeLessThan(1e-5 * expected.grad_norm);
    expect(steps.at(-1)!.loss).toBeLessThan(steps[0]!.loss / 3);
  });

  it("gives the same loss and the same gradient with packing and without", async () => {
    const plain = { max_steps: 1, max_grad_norm: null };
    const results: RunResult<SftMetrics>[] = [];
    for (const [name, more] of [
      ["unpacked", { per_device_train_batch_size: 1, gradient_accumulation_steps: 4 }],
      ["packed", { packing: true, max_seq_length: 150 }],
    ] as const) {
      results.push(await sft(config(name, { ...plain, ...more }), { connect: worker.connect }).result);
    }
    const [unpacked, packed] = results.map(({ metrics }) => metrics!);
    expect(Math.abs(unpacked!.loss - packed!.loss)).toBeLessThan(1e-6);
    const [before, after] = [momentsOf(results[0]!.folder), momentsOf(results[1]!.folder)];
    expect(unpacked!["grad_norm"]).toBeGreaterThan(0.1);
    expect(largestDifference(before, after)).toBeLessThan(1e-6);
  });

  it("resumes bit for bit when it is killed, evaluation included", async () => {
    const more = { max_steps: 4, save_steps: 2, eval_steps: 1, eval_data_file_paths: [data], learning_rate: 1e-3 };
    const options = { ...more, eval_image_folders: [workspace.images], packing: true, max_seq_length: 200 };
    const whole = config("whole", { ...options, gradient_accumulation_steps: 1 });
    await sft(whole, { connect: worker.connect }).result;
    const killed = { ...whole, output_dir: join(workspace.folder, "killed") };
    expect(await runChild(killed, "step-end:3", "sft")).toMatchObject({ signal: "SIGKILL" });
    expect(await runChild({ ...killed, resume_from_checkpoint: true }, "", "sft")).toMatchObject({ code: 0 });
    const record = recordOf(killed.output_dir!);
    expect(record).toEqual(recordOf(whole.output_dir!));
    expect(record.evaluations.length).toBe(5);
  });

  it("runs the shipped configuration on the small checkpoint, in bfloat16", async () => {
    const overrides = { ...config("shipped"), max_steps: 2 };
    const { model_name_or_path, data_file_paths, image_folders, output_dir, worker_threads, max_steps } = overrides;
    const shipped = await loadSftConfig([SHIPPED], {
      model_name_or_path,
      data_file_paths,
      image_folders,
      output_dir,
      worker_threads,
      max_steps,
      per_device_train_batch_size: 2,
    });
    const run = sft(shipped);
    const dtypes: string[] = [];
    for await (const event of run) if (event.type === "run-start") dtypes.push(event.model.dtype);
    expect(dtypes).toEqual(["bfloat16"]);
    expect((await run.result).metrics!.loss).toBeGreaterThan(0);
  });
});
