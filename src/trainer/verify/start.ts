/**
 * Where steps that are executed again begin, and on what machine they were executed first.
 *
 * @module
 */
import { RunError } from "../../errors.js";
import { readTrainerState } from "../checkpoint.js";
import type { TrainerState } from "../checkpoint.js";
import { machineDifferences } from "../fingerprint.js";
import type { Fingerprint } from "../fingerprint.js";
import type { RunBasis } from "../prepare.js";
import type { Verified } from "./verified.js";

/** A checkpoint to begin at. */
export interface VerifyStart {
  readonly step: number;
  readonly folder: string;
  readonly state: TrainerState;
}

/** Rollout batches that hold the steps asked for, 1-based and inclusive. @throws RunError VERIFY_PLAN */
export function batchesOf(
  { plan }: RunBasis,
  { run, from, to }: Verified,
): { readonly first: number; readonly last: number } {
  const { steps, updatesPerRollout } = plan;
  if (to > steps) {
    throw new RunError(
      "VERIFY_PLAN",
      `the run in ${run.folder} went to step ${to}, and its configuration plans ${steps} steps: it was continued with other max_steps or num_train_epochs. Give them as they were then.`,
      { fields: { to, steps } },
    );
  }
  return { first: Math.ceil(from / updatesPerRollout), last: Math.ceil(to / updatesPerRollout) };
}

/**
 * The nearest checkpoint with which nothing is wrong; null for the model that the run began with. What is wrong with nearer
 * ones is told, and they are compared like any other on the way.
 *
 * @param latest the checkpoint may be of this step at most
 */
export async function startOf({ checkpoints }: Verified, latest: number): Promise<VerifyStart | null> {
  for (const step of checkpoints.steps.filter((one) => one <= latest).toReversed()) {
    const found = await checkpoints.at(step);
    if (found?.usable !== true) continue;
    const folder = found.folder!;
    return { step, folder, state: await readTrainerState(folder) };
  }
  return null;
}

/** How this machine differs from those that the steps were executed on, in words; other processes are another machine. */
export async function otherMachine(
  { environment, checkpoints, otherProcesses, to }: Verified,
  start: VerifyStart | null,
  now: Fingerprint,
): Promise<string[]> {
  const then: Fingerprint[] = [start?.state.fingerprint ?? environment.fingerprint];
  for (const step of checkpoints.steps.filter((one) => one > (start?.step ?? 0) && one <= to)) {
    const found = await checkpoints.at(step);
    if (found?.usable === true) then.push((await readTrainerState(found.folder!)).fingerprint);
  }
  return [...new Set(then.flatMap((fingerprint) => machineDifferences(fingerprint, now))), ...otherProcesses];
}
