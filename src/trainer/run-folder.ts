/**
 * Begins or resumes the run folder of a training.
 *
 * @module
 */
import { existsSync } from "node:fs";
import { rm, rename } from "node:fs/promises";
import { dirname, join, resolve, sep } from "node:path";
import type { SharedConfig } from "../config/index.js";
import type { Row } from "../data/index.js";
import { RunError } from "../errors.js";
import type { Policy } from "../policy/index.js";
import { templateDigest } from "../prompts/index.js";
import {
  checkRunFolder,
  createRun,
  isRun,
  latestCheckpoint,
  latestWholeCheckpoint,
  openRun,
  resumeRun,
  RUN_FILES,
  sync,
  syncTree,
  verifyCheckpoint,
  writing,
} from "../runs/index.js";
import type { RunWriter } from "../runs/index.js";
import { createAlarmState } from "./alarms.js";
import { digestModel } from "./evaluation/index.js";
import type { ModelDigest } from "./evaluation/index.js";
import { asRunError, readTrainerState } from "./checkpoint.js";
import type { TrainerState } from "./checkpoint.js";
import { machineDifferences, machineFingerprint, requireSameSettings, settingsFingerprint } from "./fingerprint.js";
import type { Fingerprint } from "./fingerprint.js";
import type { RunBasis } from "./prepare.js";

/** What the run folder turned out to be, before a model is loaded. */
export interface RunStart {
  readonly settings: Fingerprint;
  /** What a new run begins with, by content. Null for one that goes on. */
  readonly model: ModelDigest | null;
  /** The run that is in the folder is to be deleted. */
  readonly overwrite: boolean;
  /** The checkpoint to go on from, verified; null for a new run. */
  readonly resume: { readonly checkpoint: string; readonly state: TrainerState } | null;
}

/**
 * Looks at the run folder before anything expensive happens; changes nothing but makes the folder.
 *
 * @throws RunError RUN_EXISTS, RUN_IN_USE, RUN_WRITE_FAILED; when resuming, for a checkpoint that is missing or damaged, and
 *   RESUME_MISMATCH for one of another run
 */
export async function inspectRunFolder({ config, plan }: RunBasis): Promise<RunStart> {
  const settings = await settingsFingerprint(config, plan.steps);
  const checkpoint = await withWhole(config, () => checkpointOf(config));
  refuseOwnModel(config);
  const overwrite = config.overwrite_output_dir || (checkpoint === null && (await isToBeginAgain(config, settings)));
  await checkRunFolder({ folder: config.output_dir, overwrite, resume: checkpoint !== null });
  if (checkpoint === null) {
    const model = await digestModel(config.model_name_or_path, config.model_revision);
    return { settings, model, overwrite, resume: null };
  }
  await withWhole(config, () => verifyCheckpoint(checkpoint));
  const state = await readTrainerState(checkpoint);
  requireSameSettings(state.fingerprint, settings);
  return { settings, model: null, overwrite, resume: { checkpoint, state } };
}

/** What a run overwrites cannot be what it begins with. */
function refuseOwnModel({ model_name_or_path: model, output_dir: folder }: SharedConfig): void {
  const written = [RUN_FILES.model, RUN_FILES.checkpoints].map((name) => join(resolve(folder), name));
  if (!written.some((one) => `${resolve(model)}${sep}`.startsWith(`${one}${sep}`))) return;
  throw new RunError(
    "RUN_OWN_MODEL",
    `model_name_or_path is ${model}, which lies in output_dir (${folder}) and would be deleted with the run there. Choose another output_dir.`,
    { fields: { model, folder } },
  );
}

/** Adds to the error of a damaged checkpoint which one to take instead. */
async function withWhole<T>({ output_dir: folder }: SharedConfig, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof RunError) || error.code !== "RUN_CHECKPOINT_DAMAGED") throw error;
    const whole = await latestWholeCheckpoint(folder);
    const advice =
      whole === undefined
        ? "None of its checkpoints is whole: set overwrite_output_dir, or choose another output_dir."
        : `The newest one that is whole: resume_from_checkpoint: ${resolve(whole.folder)}`;
    throw new RunError(error.code, `${error.message} ${advice}`, { cause: error, fields: error.fields });
  }
}

/** Whether the folder holds this very run, interrupted before its first checkpoint, and whoever started it asked for that. */
async function isToBeginAgain(
  { output_dir: folder, resume_from_checkpoint: asked }: SharedConfig,
  settings: Fingerprint,
) {
  if (asked !== "auto" || !isRun(folder)) return false;
  const { fingerprint } = (await (await openRun(folder)).environment()) as { readonly fingerprint: Fingerprint };
  requireSameSettings(fingerprint, settings);
  return true;
}

/** A run whose folder is open. */
export interface BegunRun {
  readonly writer: RunWriter;
  readonly state: TrainerState;
  /** Differences of machine or versions from the checkpoint, in words. */
  readonly mismatches: readonly string[];
}

/** Creates the run folder, or brings policy, logs and state back to a checkpoint. */
export async function beginRun(prepared: RunBasis, start: RunStart, policy: Policy<Row>): Promise<BegunRun> {
  const { config } = prepared;
  const machine = machineFingerprint(policy.description);
  const fingerprint = { ...start.settings, ...machine };
  const tensorboard = config.report_to.includes("tensorboard");
  if (start.resume === null) {
    const writer = await createRun({
      folder: config.output_dir,
      config: { ...config },
      environment: environmentOf(prepared, policy, { fingerprint, source: start.model }),
      overwrite: start.overwrite,
      tensorboard,
    });
    return { writer, state: firstState(prepared, fingerprint), mismatches: [] };
  }

  const { checkpoint, state } = start.resume;
  const mismatches = machineDifferences(state.fingerprint, machine);
  await restoreState(policy, checkpoint, state);
  const writer = await resumeRun({ folder: config.output_dir, step: state.step, tensorboard });
  return { writer, state: { ...state, fingerprint }, mismatches };
}

/** Brings the policy back to a checkpoint, and to the size of its parts, on which the last bits of gradients depend. */
export async function restoreState(policy: Policy<Row>, checkpoint: string, state: TrainerState): Promise<void> {
  await policy.restore(checkpoint);
  if (state.tokensPerPart !== undefined) policy.limitParts(state.tokensPerPart);
}

/** Where a run stands before its first step. */
export function firstState(
  { fidelityWarmup }: Pick<RunBasis, "fidelityWarmup">,
  fingerprint: Fingerprint,
): TrainerState {
  return { step: 0, rollout: 0, fingerprint, alarms: createAlarmState(), evaluations: [], fidelityWarmup };
}

/** Folder of the checkpoint to go on from; null starts a new run. */
async function checkpointOf(config: SharedConfig): Promise<string | null> {
  const asked = config.resume_from_checkpoint;
  if (asked === null) return null;
  if (asked !== "latest" && asked !== "auto") {
    const folder = resolve(asked);
    if (!existsSync(folder)) {
      throw new RunError(
        "RESUME_NOTHING",
        `resume_from_checkpoint is ${folder}, and there is no such folder. "thurstone runs list" shows what there is; true takes the newest checkpoint.`,
      );
    }
    if (dirname(dirname(folder)) !== resolve(config.output_dir)) {
      throw new RunError(
        "RESUME_ELSEWHERE",
        `resume_from_checkpoint is ${folder}, which is not a checkpoint of the run in ${resolve(config.output_dir)}. Set output_dir to the run's own folder.`,
      );
    }
    return folder;
  }
  const latest = await latestCheckpoint(config.output_dir);
  if (latest === undefined && asked === "auto") return null;
  if (latest === undefined) {
    throw new RunError(
      "RESUME_NOTHING",
      `${resolve(config.output_dir)} holds no complete checkpoint to resume from. Start the run without resume_from_checkpoint.`,
    );
  }
  return resolve(latest.folder);
}

function environmentOf(
  prepared: RunBasis,
  policy: Policy<Row>,
  { fingerprint, source }: { readonly fingerprint: Fingerprint; readonly source: ModelDigest | null },
) {
  const { versions, threads, device, dtype, attention, cpuFeatures, parameters, family } = policy.description;
  return {
    node: process.version,
    platform: `${process.platform} ${process.arch}`,
    model: { family, parameters, device, dtype, attention, threads, cpuFeatures, source },
    versions,
    prompt: { template: prepared.config.question_template, digest: templateDigest(prepared.config.question_template) },
    rows: { train: prepared.rowCount, heldOut: prepared.heldOut.length },
    fingerprint,
  };
}

/** Writes a Hugging Face checkpoint into `folder`; an earlier one there is replaced only once the new one is complete. */
export async function exportModel(policy: Policy<Row>, folder: string): Promise<void> {
  const fresh = `${folder}.new`;
  await writing("clear", fresh, () => rm(fresh, { recursive: true, force: true }));
  try {
    await policy.export(fresh);
  } catch (error) {
    throw asRunError(error, folder);
  }
  await writing("replace", folder, async () => {
    await syncTree(fresh);
    await rm(folder, { recursive: true, force: true });
    await rename(fresh, folder);
    await sync(dirname(folder));
  });
}
