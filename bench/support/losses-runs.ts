/**
 * The runs of `bench/losses.ts`: the quickstart's data and settings with each loss type, and what is kept of them.
 *
 * @module
 */
import { join, resolve } from "node:path";
import { z } from "zod";
import { quickstartConfig } from "../../src/cli/quickstart.js";
import { riseOf } from "../../src/cli/quickstart-text.js";
import type { ConfigInput, ResolvedConfig } from "../../src/config/index.js";
import { train } from "../../src/trainer/index.js";
import { digestFile, digestModel, digestText } from "../../src/trainer/evaluation/digests.js";
import { appendRecord, readRecords } from "./results-file.js";

/** The settings that runs have in common, but for those of `lossesRun`. */
const QUICKSTART = resolve(import.meta.dirname, "../../configs/quickstart.yaml");

/**
 * What a loss type needs besides its name: the clip ranges of its paper where the default is for another ratio. `bnpo` is
 * not among them, because it is `dapo`.
 */
export const LOSSES: Readonly<Record<string, Partial<ConfigInput>>> = {
  grpo: {},
  dapo: { epsilon_high: 0.28 },
  dr_grpo: { scale_rewards: "none" },
  gspo: { epsilon: 3e-4, epsilon_high: 4e-4 },
  luspo: { epsilon: 2e-3, epsilon_high: 2.5e-3 },
  cispo: { epsilon_high: 5 },
  sapo: {},
};

const figure = z.number().nullable();
const record = z.object({
  loss: z.string(),
  seed: z.number().int(),
  /** Digest of settings, data and checkpoint. */
  digest: z.string(),
  /** By optimizer step. */
  reward: z.array(figure),
  srcc: z.array(figure),
  /** SRCC of the expected score on photographs that no stage has seen. */
  before: figure,
  after: figure,
  seconds: z.number(),
});

/** One finished run. */
export type LossesResult = z.output<typeof record>;

export interface LossesRun {
  readonly loss: string;
  readonly seed: number;
  readonly digest: string;
  readonly config: ResolvedConfig;
}

/** What all runs share. */
export interface LossesSettings {
  /** Data and run folders. */
  readonly folder: string;
  readonly start: string;
  readonly steps: number;
}

/** @throws Error for a name that is no loss type */
export async function lossesRun(loss: string, seed: number, settings: LossesSettings): Promise<LossesRun> {
  const own = LOSSES[loss];
  if (own === undefined) throw new Error(`losses: "${loss}" is none of ${Object.keys(LOSSES).join(", ")}.`);
  const overrides = {
    loss_type: loss,
    // Two updates per rollout batch, or every ratio would be 1 and loss types would differ by their weights alone.
    num_iterations: 2,
    fidelity_warmup: null,
    max_steps: settings.steps,
    eval_estimators: ["expected"],
    // Threads would only wait for each other where others work as well.
    worker_threads: 1,
    save_steps: 1_000_000,
    save_only_model: true,
    log_completions: false,
    seed,
    data_seed: seed,
    overwrite_output_dir: true,
    ...own,
  };
  const config = await quickstartConfig(settings.folder, {
    ...overrides,
    model_name_or_path: settings.start,
    output_dir: join(settings.folder, "runs", `${loss}-${seed}`),
  });
  const files = await Promise.all(
    [QUICKSTART, ...config.data_file_paths, ...config.eval_data_file_paths].map(sha256Of),
  );
  const content = [overrides, files, (await digestModel(settings.start)).sha256];
  return { loss, seed, digest: digestText(JSON.stringify(content)).slice(0, 16), config };
}

async function sha256Of(path: string): Promise<string> {
  return (await digestFile(path)).sha256;
}

/** Trains and evaluates before and after. */
export async function runLoss({ loss, seed, digest, config }: LossesRun): Promise<LossesResult> {
  const began = performance.now();
  const reward: (number | null)[] = [];
  const srcc: (number | null)[] = [];
  const run = train(config);
  for await (const event of run) {
    if (event.type !== "step-end") continue;
    reward.push(event.metrics.reward);
    srcc.push(event.metrics["batch_srcc"] ?? null);
  }
  const [rise] = riseOf((await run.result).evaluations);
  const seconds = (performance.now() - began) / 1000;
  return {
    loss,
    seed,
    digest,
    reward,
    srcc,
    before: rise?.before?.srcc ?? null,
    after: rise?.after?.srcc ?? null,
    seconds,
  };
}

/** The results so far, as `readRecords`. */
export function readLosses(file: string): Promise<LossesResult[]> {
  return readRecords(file, record);
}

/** Adds a finished run to the results. */
export function appendLoss(file: string, result: LossesResult): Promise<LossesResult> {
  return appendRecord(file, record, result);
}
