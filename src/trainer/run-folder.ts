/**
 * Begins or resumes the run folder of a training.
 *
 * @module
 */
import { rm, rename } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import type { ResolvedConfig } from "../config/index.js";
import type { Row } from "../data/index.js";
import { RunError } from "../errors.js";
import type { Policy } from "../policy/index.js";
import { templateDigest } from "../prompts/index.js";
import { createRun, latestCheckpoint, resumeRun, verifyCheckpoint } from "../runs/index.js";
import type { RunWriter } from "../runs/index.js";
import { createAlarmState } from "./alarms.js";
import { readTrainerState } from "./checkpoint.js";
import type { TrainerState } from "./checkpoint.js";
import { compareFingerprints, fingerprintOf } from "./fingerprint.js";
import type { PreparedRun } from "./prepare.js";

export interface BegunRun {
  readonly writer: RunWriter;
  readonly state: TrainerState;
  /** Differences of machine or versions from the checkpoint, in words. */
  readonly mismatches: readonly string[];
}

/** Creates the run folder, or brings policy, logs and state back to a checkpoint. */
export async function beginRun(prepared: PreparedRun, policy: Policy<Row>): Promise<BegunRun> {
  const { config, plan } = prepared;
  const fingerprint = await fingerprintOf(config, policy.description, plan.steps);
  const tensorboard = config.report_to.includes("tensorboard");
  const checkpoint = await checkpointOf(config);
  if (checkpoint === null) {
    const writer = await createRun({
      folder: config.output_dir,
      config: { ...config },
      environment: environmentOf(prepared, policy, fingerprint),
      overwrite: config.overwrite_output_dir,
      tensorboard,
    });
    const state = { step: 0, rollout: 0, fingerprint, alarms: createAlarmState(), evaluations: [] };
    return { writer, state, mismatches: [] };
  }

  await verifyCheckpoint(checkpoint);
  const state = await readTrainerState(checkpoint);
  const mismatches = compareFingerprints(state.fingerprint, fingerprint);
  await policy.restore(checkpoint);
  const writer = await resumeRun({ folder: config.output_dir, step: state.step, tensorboard });
  return { writer, state: { ...state, fingerprint }, mismatches };
}

/** Folder of the checkpoint to go on from; null starts a new run. */
async function checkpointOf(config: ResolvedConfig): Promise<string | null> {
  const asked = config.resume_from_checkpoint;
  if (asked === null) return null;
  if (asked !== "latest") {
    const folder = resolve(asked);
    if (dirname(dirname(folder)) !== resolve(config.output_dir)) {
      throw new RunError(
        "RESUME_ELSEWHERE",
        `resume_from_checkpoint is ${folder}, which is not a checkpoint of the run in ${resolve(config.output_dir)}. Set output_dir to the run's own folder.`,
      );
    }
    return folder;
  }
  const latest = await latestCheckpoint(config.output_dir);
  if (latest === undefined) {
    throw new RunError(
      "RESUME_NOTHING",
      `${resolve(config.output_dir)} holds no complete checkpoint to resume from. Start the run without resume_from_checkpoint.`,
    );
  }
  return resolve(latest.folder);
}

function environmentOf(prepared: PreparedRun, policy: Policy<Row>, fingerprint: Readonly<Record<string, string>>) {
  const { versions, threads, device, dtype, attention, cpuFeatures, parameters, family } = policy.description;
  return {
    node: process.version,
    platform: `${process.platform} ${process.arch}`,
    model: { family, parameters, device, dtype, attention, threads, cpuFeatures },
    versions,
    prompt: { template: prepared.config.question_template, digest: templateDigest(prepared.config.question_template) },
    rows: { train: prepared.rows.length, heldOut: prepared.heldOut.length },
    fingerprint,
  };
}

/** Writes a Hugging Face checkpoint into `folder`; an earlier one there is replaced only once the new one is complete. */
export async function exportModel(policy: Policy<Row>, folder: string): Promise<void> {
  const fresh = `${folder}.new`;
  await rm(fresh, { recursive: true, force: true });
  await policy.export(fresh);
  await rm(folder, { recursive: true, force: true });
  await rename(fresh, folder);
}
