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
  const { start, out, seed, pictures, steps, connect, log = () => undefined } = options;
  const connection = connect === undefined ? {} : { connect };
  const set = (name: keyof typeof pictures, number: number, answered: boolean): Promise<string> =>
    writePictures({ folder: join(out, "data"), name, pictures: pictures[name], seed: 3 * seed + number, answered });
  const taught = await set("taught", 0, true);
  const rewarded = await set("rewarded", 1, false);
  const test = await set("test", 2, false);

  const lesson: SftConfigInput = {
    ...SHARED,
    model_name_or_path: start,
    data_file_paths: taught,
    per_device_train_batch_size: 64,
    max_steps: steps.taught,
    learning_rate: LEARNING_RATES.taught,
    lr_scheduler_type: "cosine",
    warmup_ratio: 0.1,
    output_dir: join(out, "taught"),
    seed,
  };
  const counting = exported(await sft(lesson, connection).result);
  const asked = (model: string): ConfigInput => ({ ...SHARED, model_name_or_path: model, data_file_paths: test, seed });
  const before = await accuracyOf(asked(counting), connection);
  log(`taught:   ${inWords(before)}`);

  const practice: ConfigInput = {
    ...SHARED,
    model_name_or_path: counting,
    data_file_paths: rewarded,
    prompts_per_step: 32,
    num_generations: 8,
    max_steps: steps.rewarded,
    learning_rate: LEARNING_RATES.rewarded,
    warmup_steps: Math.min(10, steps.rewarded - 1),
    beta: 0.01,
    freeze_vision_modules: true,
    output_dir: join(out, "rewarded"),
    seed,
  };
  const rewards: number[] = [];
  const run = train(practice, { ...connection, rewards: { exact_match: exactMatch } });
  for await (const event of run) {
    if (event.type !== "step-end") continue;
    rewards.push(event.metrics.reward!);
    if (event.step % 25 === 0) log(`step ${event.step}: mean reward ${event.metrics.reward!.toFixed(3)}`);
  }
  const after = await accuracyOf(asked(exported(await run.result)), connection);
  log(`rewarded: ${inWords(after)}`);
  return { before, after, rewards };
}

/** A run that was not stopped has exported its model. */
function exported({ model }: { readonly model: string | null }): string {
  if (model === null) throw new Error("the run was stopped before it had a model.");
  return model;
}

function inWords({ greedy, few, many, sampled }: Accuracy): string {
  return `accuracy ${greedy.toFixed(3)} greedy (${few.toFixed(3)} up to three, ${many.toFixed(3)} beyond), ${sampled.toFixed(3)} sampled`;
}
