/**
 * The stages of the recipe: pictures, supervised steps that teach the layout and a little counting, reinforcement.
 *
 * @module
 */
import { join } from "node:path";
import { sft, train } from "thurstone";
import type { ConfigInput, OpenPolicyOptions, SftConfigInput } from "thurstone";
import { accuracyOf } from "./accuracy.js";
import type { Accuracy } from "./accuracy.js";
import { writePictures } from "./pictures.js";
import { exactMatch } from "./reward.js";

export interface RecipeOptions {
  /** Checkpoint to begin with. */
  readonly start: string;
  /** Folder of everything that is made. */
  readonly out: string;
  readonly seed: number;
  readonly pictures: { readonly taught: number; readonly rewarded: number; readonly test: number };
  /** Updates of the two stages. */
  readonly steps: { readonly taught: number; readonly rewarded: number };
  /** How workers are reached; a test shares one. */
  readonly connect?: OpenPolicyOptions["connect"];
  readonly log?: (line: string) => void;
}

export interface RecipeResult {
  /** After the supervised steps, where reinforcement begins, and after it. */
  readonly before: Accuracy;
  readonly after: Accuracy;
  /** Mean reward of each rewarded step. */
  readonly rewards: readonly number[];
}

/** Of a model this small; 1e-6 is for billions of parameters. */
const LEARNING_RATES = { taught: 1e-3, rewarded: 5e-4 } as const;

/**
 * Of the distance to the taught model. Without it one of the words that are drawn at random dies out before the model can
 * tell their pictures apart.
 */
const KL_WEIGHT = 0.2;

/** Tells the draws of the stages apart. */
const SETS = { taught: 0, rewarded: 1, test: 2 } as const;

/** What all stages share. */
const SHARED = {
  torch_dtype: "float32",
  device: "cpu",
  worker_threads: 1,
  question_template: "{Question}",
  max_completion_length: 16,
  save_only_model: true,
  overwrite_output_dir: true,
} as const satisfies Partial<SftConfigInput>;

export async function countingRecipe(options: RecipeOptions): Promise<RecipeResult> {
  const { log = () => undefined } = options;
  const test = await pictureSet(options, "test");
  const taught = await teach(options);
  const before = await accuracyOf(question(options, taught, test), connection(options));
  log(`taught:   ${inWords(before)}`);

  const { model, rewards } = await practise(options, taught);
  const after = await accuracyOf(question(options, model, test), connection(options));
  log(`rewarded: ${inWords(after)}`);
  return { before, after, rewards };
}

/** Supervised steps. Returns the folder of the checkpoint. */
export async function teach(options: RecipeOptions): Promise<string> {
  const { start, out, seed, steps } = options;
  const config: SftConfigInput = {
    ...SHARED,
    model_name_or_path: start,
    data_file_paths: await pictureSet(options, "taught"),
    per_device_train_batch_size: 64,
    max_steps: steps.taught,
    learning_rate: LEARNING_RATES.taught,
    lr_scheduler_type: "cosine",
    warmup_ratio: 0.1,
    output_dir: join(out, "taught"),
    seed,
  };
  return exported(await sft(config, connection(options)).result);
}

/** Rewarded steps. Returns the folder of the checkpoint, and the mean reward of every step. */
export async function practise(
  options: RecipeOptions,
  taught: string,
): Promise<{ readonly model: string; readonly rewards: readonly number[] }> {
  const { out, seed, steps, log = () => undefined } = options;
  const config: ConfigInput = {
    ...question(options, taught, await pictureSet(options, "rewarded")),
    prompts_per_step: 32,
    num_generations: 8,
    max_steps: steps.rewarded,
    learning_rate: LEARNING_RATES.rewarded,
    warmup_steps: Math.min(10, steps.rewarded - 1),
    beta: KL_WEIGHT,
    freeze_vision_modules: true,
    output_dir: join(out, "rewarded"),
    seed,
  };
  const rewards: number[] = [];
  const run = train(config, { ...connection(options), rewards: { exact_match: exactMatch } });
  for await (const event of run) {
    if (event.type !== "step-end") continue;
    rewards.push(event.metrics.reward!);
    if (event.step % 25 === 0) log(`step ${event.step}: mean reward ${event.metrics.reward!.toFixed(3)}`);
  }
  return { model: exported(await run.result), rewards };
}

/** A checkpoint and the pictures it is asked about. */
export function question({ seed }: RecipeOptions, model: string, pictures: string): ConfigInput {
  return { ...SHARED, model_name_or_path: model, data_file_paths: pictures, seed };
}

/** The pictures of a stage, different ones for each stage and seed. */
export function pictureSet({ out, seed, pictures }: RecipeOptions, name: keyof typeof SETS): Promise<string> {
  return writePictures({
    folder: join(out, "data"),
    name,
    pictures: pictures[name],
    seed: 3 * seed + SETS[name],
    answered: name === "taught",
  });
}

function connection({ connect }: RecipeOptions): Pick<OpenPolicyOptions, "connect"> {
  return connect === undefined ? {} : { connect };
}

/** A run that was not stopped has exported its model. */
function exported({ model }: { readonly model: string | null }): string {
  if (model === null) throw new Error("the run was stopped before it had a model.");
  return model;
}

function inWords({ greedy, few, many, sampled }: Accuracy): string {
  return `accuracy ${greedy.toFixed(3)} greedy (${few.toFixed(3)} up to three, ${many.toFixed(3)} beyond), ${sampled.toFixed(3)} sampled`;
}
