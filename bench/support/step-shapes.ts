/**
 * What `bench/step.ts` measures: shapes of a GRPO step, and what both programs are told of one.
 *
 * @module
 */
import { ConfigError } from "../../src/errors.js";

/** One shape; all of them have 6 completions per prompt, one picture per prompt, and a reference model. */
export interface StepShape {
  readonly name: string;
  /** Pictures, each in a prompt of its own. */
  readonly prompts: number;
  /** Of a picture, in pixels. */
  readonly width: number;
  readonly height: number;
  /** Tokens of every completion: the checkpoint ends none by chance. */
  readonly tokens: number;
  readonly frozenTower: boolean;
  /** Rank of a LoRA adapter of all linear layers of the language model; null: the weights themselves are trained. */
  readonly loraRank: number | null;
  /** Rows of the embedding and the head: 512, or Qwen2.5's 151,936. */
  readonly vocabulary: "small" | "full";
}

const KADID: StepShape = {
  name: "kadid",
  prompts: 2,
  width: 512,
  height: 384,
  tokens: 96,
  frozenTower: false,
  loraRank: null,
  vocabulary: "small",
};

export const SHAPES: readonly StepShape[] = [
  KADID,
  { ...KADID, name: "koniq", prompts: 1, width: 1024, height: 768 },
  { ...KADID, name: "long", tokens: 256 },
  { ...KADID, name: "frozen", frozenTower: true, loraRank: 16 },
  { ...KADID, name: "vocabulary", vocabulary: "full" },
];

/** @returns the shapes of a list of names. @throws ConfigError for a name that is none */
export function shapesOf(names: string): StepShape[] {
  return names.split(",").map((name) => {
    const found = SHAPES.find((shape) => shape.name === name);
    if (found !== undefined) return found;
    const known = SHAPES.map((shape) => shape.name).join(", ");
    throw new ConfigError("CONFIG_BENCH_SHAPE", `there is no shape "${name}"; there are ${known}.`);
  });
}

/** Steps of one process: the first warms up, the second is measured. */
export const MEASURED_STEP = 2;

/** What one process is told, as JSON; in the spelling of Python, which reads it too. */
export interface StepJob {
  readonly model: string;
  /** One per prompt and step. */
  readonly pictures: readonly string[];
  readonly question: string;
  readonly prompts: number;
  readonly generations: number;
  readonly tokens: number;
  readonly frozen_tower: boolean;
  readonly lora_rank: number | null;
  readonly beta: number;
  readonly learning_rate: number;
  readonly measured_step: number;
  /** TRL only: apply the head to completion positions alone, as TRL does on CUDA. */
  readonly compact: boolean;
}

/** The settings that all shapes have in common. */
export const COMMON = {
  question:
    "You are doing the image quality assessment task. Here is the question: What is your overall rating on the quality of this picture? The rating should be a float between 1 and 5, rounded to two decimal places, with 1 representing very poor quality and 5 representing excellent quality. First output the thinking process in <think> </think> tags and then output the final answer with only one score in <answer> </answer> tags.",
  generations: 6,
  beta: 0.04,
  learning_rate: 1e-6,
  measured_step: MEASURED_STEP,
} as const;

/** What a process says of the step it measured. */
export interface StepMeasurement {
  /** Seconds of processor time, user and system, of all processes that take part. */
  readonly cpu: number;
  readonly wall: number;
  /**
   * Where the processor time went: until the completions are there; reference, loss and update; the rest. Ours: what the
   * worker did before and after the rewards, and Node. TRL's: sampling alone, and the rest has pictures and prompts.
   */
  readonly generation: number;
  readonly loss: number;
  readonly rest: number;
  /** Most memory of the process that holds the model, in bytes, over its whole life. */
  readonly peak: number;
  /** What Node's memory grew by over the run, in bytes; 0 where there is no Node. */
  readonly control: number;
  /** Tokens of one prompt, its picture included, and of all completions of the step. */
  readonly prompt_tokens: number;
  readonly completion_tokens: number;
}
