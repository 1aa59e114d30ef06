/**
 * What is left of steps that were executed again: a checkpoint, an exported model, each beside the run's.
 *
 * @module
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { SharedConfig } from "../../config/index.js";
import { saveCheckpoint, TRAINER_FILE } from "../checkpoint.js";
import type { StepValues } from "../events.js";
import type { Run } from "../milestones.js";
import { exportModel } from "../run-folder.js";
import type { Written } from "./memory-writer.js";
import { compareCheckpoint, compareModels } from "./saved-files.js";
import type { Verified } from "./verified.js";

/** How the steps were executed. */
export interface SavedSteps {
  readonly written: Written;
  /** The first one. */
  readonly from: number;
  /** On the run's own machine. */
  readonly exact: boolean;
}

/**
 * Compares what the run kept of the step that was executed last.
 *
 * @returns SHA-256 of the files of its checkpoint by name, as they came out now; null where the run took none
 */
export async function compareSaved<Metrics extends StepValues>(
  { policy, state, prepared }: Run<Metrics>,
  { checkpoints, comparisons, model }: Verified,
  { written, from, exact }: SavedSteps,
): Promise<Readonly<Record<string, string>> | null> {
  const { step } = state;
  const reach = exact ? null : reachOf(prepared.config, written, from);
  const context = { step, reach, comparisons };
  let digests: Record<string, string> | null = null;
  const taken = await checkpoints.at(step);
  if (taken !== null) {
    await using scratch = await openScratch();
    const names = taken.files?.map(({ name }) => name) ?? Object.keys(taken.digests ?? {});
    const modelOnly = names.length > 0 && !names.includes(TRAINER_FILE);
    const saved = await saveCheckpoint(policy, scratch.folder, state, modelOnly);
    digests = Object.fromEntries(saved.files.map(({ name, sha256 }) => [name, sha256]));
    await compareCheckpoint(taken, saved, context);
  }
  if (step === model.step && model.present) {
    if (!exact)
      comparisons.leaveOut("The exported model: its bits are another machine's; the checkpoint beside it is compared.");
    else {
      await using scratch = await openScratch();
      const found = join(scratch.folder, "model");
      await exportModel(policy, found);
      await compareModels({ recorded: model.folder, found }, context);
    }
  }
  return digests;
}

/** Room in the system's folder for temporary files; goes with the block it is used in. */
async function openScratch(): Promise<AsyncDisposable & { readonly folder: string }> {
  const folder = await mkdtemp(join(tmpdir(), "thurstone-verify-"));
  return { folder, [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }) };
}

/**
 * How far apart two machines can bring a weight in the steps that were executed. What rounding makes of a gradient close
 * to 0 AdamW scales up, but no update is larger than the bound of Adam's section 2.1 (arXiv 1412.6980). A second moment of 8
 * bits may be rounded to 0 beside a first one that is not: then there is no bound.
 */
export function reachOf(
  config: Pick<SharedConfig, "optim" | "adam_beta1" | "adam_beta2" | "vision_learning_rate" | "learning_rate">,
  written: Pick<Written, "metrics">,
  from: number,
): number {
  const { adam_beta1: beta1, adam_beta2: beta2, vision_learning_rate: vision, learning_rate: rate } = config;
  if (config.optim !== "adamw_torch") return Number.POSITIVE_INFINITY;
  const rates = [...written.metrics].filter(([step]) => step >= from).map(([, line]) => Number(line["learning_rate"]));
  const way = rates.reduce((total, one) => total + one, 0);
  const largest = Math.max(1, (1 - beta1) / Math.sqrt(1 - beta2));
  return 2 * way * largest * Math.max(1, vision === null ? 1 : vision / rate);
}
