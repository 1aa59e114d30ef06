/**
 * One measured GRPO step of thurstone, through `train`, in a process of its own: see bench/step.ts.
 *
 * One argument: a `StepJob` as JSON. Prints a `StepMeasurement` as its last line, but for the tokens of a prompt.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import type { ConfigInput } from "../../src/index.js";
import { defineReward, train } from "../../src/index.js";
import { childNamed, cpuSeconds, residentBytes } from "./process-cost.js";
import type { StepJob, StepMeasurement } from "./step-shapes.js";

/** From 0 to 5, a hash of the answer: bench/support/step_trl.py gives the same. */
function hashOf(tokenIds: ArrayLike<number>): number {
  const hash = createHash("sha256").update(Array.from(tokenIds).join(","));
  return (5 * hash.digest().readUInt32BE(0)) / 2 ** 32;
}

function configOf(job: StepJob, folder: string): ConfigInput {
  const rows = job.pictures.map((picture, id) => ({
    id,
    dataset_name: "bench",
    image: picture,
    conversations: [
      { from: "human", value: job.question },
      { from: "gpt", value: 3 },
    ],
  }));
  writeFileSync(join(folder, "train.jsonl"), rows.map((row) => JSON.stringify(row)).join("\n"));
  return {
    model_name_or_path: job.model,
    torch_dtype: "float32",
    device: "cpu",
    worker_threads: 1,
    freeze_vision_modules: job.frozen_tower,
    ...(job.lora_rank !== null && { use_peft: true, lora_r: job.lora_rank }),
    data_file_paths: join(folder, "train.jsonl"),
    image_folders: dirname(job.pictures[0]!),
    question_template: "{Question}",
    prompts_per_step: job.prompts,
    num_generations: job.generations,
    max_completion_length: job.tokens,
    temperature: 1,
    beta: job.beta,
    loss_type: "grpo",
    learning_rate: job.learning_rate,
    lr_scheduler_type: "constant",
    // One more than is measured: a step in the middle of a run prepares the pictures of the next one.
    max_steps: job.measured_step + 1,
    output_dir: join(folder, "run"),
    save_only_model: true,
  };
}

interface Reading {
  /** Processor seconds of the worker and of Node. */
  readonly worker: number;
  readonly node: number;
  readonly wall: number;
}

function read(worker: number): Reading {
  const { user, system } = process.cpuUsage();
  return { worker: cpuSeconds(worker), node: (user + system) / 1e6, wall: performance.now() / 1000 };
}

async function measure(job: StepJob, folder: string): Promise<Omit<StepMeasurement, "prompt_tokens">> {
  const before = residentBytes(process.pid).now;
  const measured = new AbortController();
  const readings: Reading[] = [];
  let completionTokens = 0;
  let memory = { peak: 0, control: 0 };
  const note = (): void => void readings.push(read(childNamed("thurstone_runtime")));

  const reward = defineReward({
    name: "hash",
    scoreBatch: ({ groups, step }) => {
      if (step === job.measured_step) {
        note();
        completionTokens = groups
          .flatMap(({ completions }) => completions)
          .reduce((total, { tokenIds }) => total + tokenIds.length, 0);
      }
      return groups.map(({ completions }) => completions.map(({ tokenIds }) => hashOf(tokenIds)));
    },
  });
  const run = train(configOf(job, folder), {
    rewards: { hash: { reward, weight: 1 } },
    signal: measured.signal,
    callbacks: {
      // The run waits for this: nothing of the next step has happened yet.
      onStep: ({ step }) => {
        if (step < job.measured_step - 1) return;
        note();
        if (step < job.measured_step) return;
        memory = {
          peak: residentBytes(childNamed("thurstone_runtime")).peak,
          control: residentBytes(process.pid).peak - before,
        };
        measured.abort();
      },
    },
  });
  await run.result.catch((error: unknown) => {
    if (error !== measured.signal.reason) throw error;
  });

  const [begin, sampled, end] = readings as [Reading, Reading, Reading];
  const generation = sampled.worker - begin.worker;
  const loss = end.worker - sampled.worker;
  const rest = end.node - begin.node;
  return {
    cpu: generation + loss + rest,
    wall: end.wall - begin.wall,
    generation,
    loss,
    rest,
    ...memory,
    completion_tokens: completionTokens,
  };
}

const folder = mkdtempSync(join(tmpdir(), "thurstone-step-ours-"));
try {
  const measurement = await measure(JSON.parse(process.argv[2]!) as StepJob, folder);
  process.stdout.write(`${JSON.stringify(measurement)}\n`);
} finally {
  rmSync(folder, { recursive: true });
}
