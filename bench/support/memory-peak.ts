/**
 * What the memory plan says of a step, and what a real worker needs for it.
 *
 * The worker runs in a process of its own (memory_peak.py). Tensors are what torch's profiler counts on top of those that are
 * alive before a stage; the process is its `VmHWM` after two steps without the profiler.
 *
 * @module
 */
import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { z } from "zod";
import { NOTHING_OFFLOADED, planMemory, readArchitecture, sum } from "../../src/config/index.js";
import type { MemoryOptions, MemoryStage } from "../../src/config/index.js";
import { findPython } from "../../src/python/index.js";

/** A step to plan and to run. */
export interface MemoryTask {
  /** Folder of a checkpoint. */
  readonly model: string;
  readonly precision: MemoryOptions["precision"];
  /** Rank of an adapter of all linear layers of the language model; null: the whole model is trained. */
  readonly loraRank: number | null;
  readonly freezeVision: boolean;
  readonly gradientCheckpointing: boolean;
  readonly optimizer: MemoryOptions["optimizer"];
  readonly reference: boolean;
  readonly temperature: number;
  readonly prompts: number;
  /** Passes that an update is cut into, with as many prompts each. */
  readonly passes: number;
  readonly samples: number;
  readonly textTokens: number;
  readonly completionTokens: number;
  /** Height and width of every picture, which the model sees as they are. */
  readonly side: readonly [number, number];
}

/** 8 pictures of 168 x 224 with 6 answers each, in two passes. */
export function smallTask(model: string): MemoryTask {
  return {
    model,
    precision: "float32",
    loraRank: null,
    freezeVision: false,
    gradientCheckpointing: false,
    optimizer: "adamw_torch",
    reference: true,
    temperature: 1,
    prompts: 8,
    passes: 2,
    samples: 6,
    textTokens: 60,
    completionTokens: 32,
    side: [168, 224],
  };
}

/** Bytes. */
export interface MemoryMeasurement {
  readonly tensors: Readonly<Record<MemoryStage, number>>;
  readonly process: number;
}

const REPORT = z.object({
  tensors: z.object({ generate: z.number(), train: z.number(), update: z.number() }),
  process: z.number(),
});

/** What the plan says. */
export async function plannedMemory(task: MemoryTask): Promise<MemoryMeasurement> {
  const { architecture, patches, imageTokens } = await shapeOf(task);
  const [height, width] = task.side;
  const plan = planMemory({
    architecture,
    precision: task.precision,
    device: "cpu",
    strategy: "single",
    ranks: 1,
    offload: NOTHING_OFFLOADED,
    adapter: task.loraRank === null ? null : { rank: task.loraRank, targets: null, magnitudes: false, fourBit: false },
    freezeVision: task.freezeVision,
    gradientCheckpointing: task.gradientCheckpointing,
    optimizer: task.optimizer,
    reference: task.reference,
    generation: "gather",
    work: {
      prompts: task.prompts,
      promptsPerUpdate: task.prompts,
      samples: task.samples,
      promptTokens: task.textTokens + imageTokens,
      completionTokens: task.completionTokens,
      imageTokens,
      patches,
      sampled: true,
      evaluation: null,
      tempered: task.temperature !== 1,
      tokensPerPass:
        (task.prompts / task.passes) * (task.textTokens + imageTokens + task.samples * task.completionTokens),
      completionsPerPass: null,
      pictureBytes: task.prompts * height * width * 3,
      pictureLimit: 2 ** 28,
    },
  });
  const { generate, train, update } = plan.stages;
  return { tensors: { generate: sum(generate), train: sum(train), update: sum(update) }, process: plan.needed };
}

/** What a worker needs. */
export async function measuredMemory(task: MemoryTask): Promise<MemoryMeasurement> {
  const { imageTokens } = await shapeOf(task);
  const { python, pythonPath } = findPython();
  const given = {
    model: task.model,
    settings: {
      freeze_vision: task.freezeVision,
      deterministic: true,
      lora_rank: task.loraRank,
      reference: task.reference,
      gradient_checkpointing: task.gradientCheckpointing,
      torch_dtype: task.precision,
      optim: task.optimizer,
    },
    prompts: task.prompts,
    passes: task.passes,
    samples: task.samples,
    text_tokens: task.textTokens,
    image_tokens: imageTokens,
    completion_tokens: task.completionTokens,
    side: task.side,
    temperature: task.temperature,
  };
  const program = fileURLToPath(new URL("memory_peak.py", import.meta.url));
  const { stdout } = await promisify(execFile)(python, [program, JSON.stringify(given)], {
    env: { ...process.env, PYTHONPATH: pythonPath },
  });
  return REPORT.parse(JSON.parse(stdout.trim().split("\n").at(-1)!));
}

async function shapeOf({ model, side: [height, width] }: MemoryTask): Promise<{
  architecture: MemoryOptions["architecture"];
  patches: number;
  imageTokens: number;
}> {
  const architecture = readArchitecture(JSON.parse(await readFile(join(model, "config.json"), "utf8")))!;
  const { patchSize, mergeSize } = architecture.vision;
  const patches = (height / patchSize) * (width / patchSize);
  return { architecture, patches, imageTokens: patches / mergeSize ** 2 };
}
