/**
 * A run that anyone can check: its steps are executed again from the nearest checkpoint and the recorded completions, and
 * what comes out is compared with what the run recorded. What differs is named, and so is what cannot be compared.
 *
 * @module
 */
import { tmpdir } from "node:os";
import { resolve } from "node:path";
import type { ConfigInput, SftConfigInput } from "../../config/index.js";
import type { CurriculumFunction } from "../../data/index.js";
import { ConfigError, RunError } from "../../errors.js";
import type { RewardRecord } from "../../rewards/index.js";
import { listCheckpoints, openRun } from "../../runs/index.js";
import type { Run } from "../../runs/index.js";
import type { OpenPolicyOptions } from "../open-policy.js";
import { sftKind } from "../sft-run.js";
import { grpoKind } from "../train.js";
import { createComparisons, SUBJECTS } from "./comparisons.js";
import type { Comparisons, Difference, Subject } from "./comparisons.js";
import { readEnvironment } from "./environment.js";
import { execute } from "./execute.js";
import type { Executed } from "./execute.js";
import { exportedModel } from "./exported-model.js";
import { checkSettings } from "./inputs.js";
import type { VerifyKeys } from "./inputs.js";
import { processesOf } from "./processes.js";
import { recordedCheckpoints } from "./recorded-checkpoints.js";
import { verifiedRewards } from "./rewards.js";
import type { RecordedBatch, Verified } from "./verified.js";

/** Options of `verifyRun`. */
export interface VerifyOptions extends Pick<OpenPolicyOptions, "connect" | "onStderr" | "signal"> {
  /** First and last step to verify. Default: the first and the last that the run recorded. */
  readonly from?: number;
  readonly to?: number;
  /**
   * Draw the completions again, and do not take them from the record: whether they are what the policy says. Needed where
   * the run recorded none, and done in any case where the loss was corrected by log-probabilities of sampling, which are
   * not recorded. Default false.
   */
  readonly resample?: boolean;
  /** Rewards that were given in code, as `train` was given them. */
  readonly rewards?: RewardRecord;
  /** Names of rewards that shall not be computed again: of a judge that does not say the same twice. */
  readonly recordedRewards?: readonly string[];
  /** The curriculum that was given in code. */
  readonly curriculum?: CurriculumFunction;
  /** What may lie elsewhere than when the run was made. */
  readonly config?: VerifyKeys;
  /** How far apart numbers of the model may be, in parts of themselves, on another machine than the run's. Default 1e-3. */
  readonly tolerance?: number;
  /** Called after every step that was executed. */
  readonly onStep?: (step: number) => void;
}

/** What was compared of one step, or of the whole run. */
export interface VerifiedStep {
  /** Optimizer step; null for what holds for the whole run. */
  readonly step: number | null;
  /** Comparisons by what they are about, and how many of them found a difference. */
  readonly compared: Readonly<Partial<Record<Subject, { readonly all: number; readonly differing: number }>>>;
}

/** What a verification showed. */
export interface Verification extends Executed {
  readonly folder: string;
  /** Steps that were asked for; `from` and `to` are those that were executed. */
  readonly asked: { readonly from: number; readonly to: number };
  /** Completions were drawn again. */
  readonly resampled: boolean;
  readonly steps: readonly VerifiedStep[];
  /** By step; causes before what follows from them. */
  readonly differences: readonly Difference[];
  /** What was not compared, a sentence each. */
  readonly notCompared: readonly string[];
  /** Whether everything that was compared agrees. */
  readonly agrees: boolean;
}

const TOLERANCE = 1e-3;
/** Nobody repeats them. */
const NEVER: readonly string[] = [
  "Evaluations on held-out rows, timings, TensorBoard curves, and the copies of pictures in images/.",
  "Keys of config.resolved.yaml that change no number of a run, such as output_dir, save_steps and num_processes; node and platform in environment.json.",
  "Evaluations and fingerprint in trainer.json of checkpoints, but for that of the one where the execution began.",
  "In logs, the number and the time of a line, and all events but checkpoints, alarms, the end of a warm-up, and the step of the exported model; alarms of memory and of the model speak of the machine.",
  "Files that belong to no step that was executed, and those that no run reads again, such as checkpoints that were set aside.",
];

/**
 * Verifies steps of a run. Own rewards that its configuration names are run as code.
 *
 * @param folder the run folder; nothing in it is changed. Checkpoints are made again in the system's temporary folder
 * @throws RunError RUN_NOT_FOUND, VERIFY_STEP, VERIFY_PLAN, VERIFY_NOT_RECORDED, VERIFY_SHAPE, VERIFY_REWARD_MISSING,
 *   VERIFY_ENVIRONMENT, VERIFY_TENSORS, REPLAY_VERSION, REPLAY_RECORD, REPLAY_INCOMPLETE, RUN_LOG_DAMAGED; ConfigError,
 *   DataError, RewardError, WorkerError as in training
 */
export async function verifyRun(folder: string, options: VerifyOptions = {}): Promise<Verification> {
  const run = await openRun(resolve(folder));
  const comparisons = createComparisons();
  const environment = await readEnvironment(run);
  const recorded = checkSettings(await run.config(), environment, comparisons);
  const processes = processesOf(recorded, options.config ?? {});
  const settings: Record<string, unknown> = { ...recorded, ...options.config, ...processes.keys };
  const samples = "reward_funcs" in settings;
  const last = await lastStep(run);
  const { from, to } = rangeOf(options, last, run);
  const corrected = settings["importance_sampling_correction"] === true;
  const resample = samples && (options.resample === true || corrected);
  const events = await run.events();
  const current: { records: RecordedBatch } = { records: null };
  const basis = {
    run,
    environment,
    events,
    checkpoints: await recordedCheckpoints(run.folder, events, comparisons),
    model: exportedModel(run.folder, events, comparisons),
    comparisons,
    from,
    to,
    otherProcesses: processes.differences,
    samples,
    resample,
    tolerance: toleranceOf(options),
    loggingSteps: Number(settings["logging_steps"]),
    current,
    onStep: options.onStep ?? (() => undefined),
    signal: options.signal,
  };
  const executed = samples ? await executeGrpo(settings, basis, options) : await executeSft(settings, basis, options);

  for (const reason of NEVER) comparisons.leaveOut(reason);
  if (executed.digests[executed.to] === undefined) {
    comparisons.leaveOut(noWeights(executed.to, basis.checkpoints.steps));
  }
  const differences = comparisons.differences();
  return {
    folder: run.folder,
    asked: { from, to },
    resampled: resample,
    ...executed,
    steps: stepsOf(comparisons, differences),
    differences,
    notCompared: comparisons.leftOut,
    agrees: differences.length === 0,
  };
}

type Basis = Omit<Verified, "takenRewards">;

async function executeGrpo(settings: Record<string, unknown>, basis: Basis, options: VerifyOptions): Promise<Executed> {
  const { run, comparisons, current, resample } = basis;
  const { rewards = {}, recordedRewards = [], curriculum } = options;
  const own = await verifiedRewards(settings, rewards, recordedRewards, () => current.records, comparisons);
  const { dynamic_sampling_tries: _, ...drawnOnce } = own.config;
  // Groups of the record are those that were drawn last.
  const sampling = resample ? own.config : { ...drawnOnce, dynamic_sampling: false };
  const config = { ...sampling, ...inMemory(run), log_completions: true };
  const kind = grpoKind(config, {
    ...opening(options),
    ...(own.rewards && { rewards: own.rewards }),
    ...(curriculum && { curriculum }),
  });
  return execute(kind, { ...basis, takenRewards: own.taken });
}

async function executeSft(settings: Record<string, unknown>, basis: Basis, options: VerifyOptions): Promise<Executed> {
  const config = { ...(settings as unknown as SftConfigInput), ...inMemory(basis.run) };
  return execute(sftKind(config, opening(options)), { ...basis, takenRewards: [] });
}

/** Keys that change no number: every step is to be logged, and the folder is the one that checkpoints are read from. */
function inMemory({ folder }: Run): Pick<ConfigInput, "output_dir" | "logging_steps" | "resume_from_checkpoint"> {
  return { output_dir: folder, logging_steps: 1, resume_from_checkpoint: null };
}

function opening({ connect, onStderr, signal }: VerifyOptions) {
  return {
    writable: [tmpdir()],
    ...(connect && { connect }),
    ...(onStderr && { onStderr }),
    ...(signal && { signal }),
  };
}

/** Every step leaves its timings; a checkpoint outlives a log that was lost. */
async function lastStep(run: Run): Promise<number> {
  const logs = [await run.timings(), await run.metrics(), await listCheckpoints(run.folder)];
  return Math.max(0, ...logs.flatMap((log) => log.at(-1)?.step ?? []));
}

function rangeOf({ from = 1, to }: VerifyOptions, last: number, { folder }: Run): { from: number; to: number } {
  const end = to ?? last;
  if ([from, end].every(Number.isSafeInteger) && from >= 1 && from <= end && end <= last) return { from, to: end };
  const asked = from === end ? `step ${from}` : `steps ${from} to ${end}`;
  const has = last === 0 ? "recorded no step" : `recorded steps 1 to ${last}`;
  throw new RunError("VERIFY_STEP", `${asked} cannot be verified: the run in ${folder} ${has}.`, {
    fields: { from, to: end, last },
  });
}

function toleranceOf({ tolerance = TOLERANCE }: VerifyOptions): number {
  if (tolerance > 0 && tolerance < 1) return tolerance;
  throw new ConfigError("VERIFY_TOLERANCE", `tolerance is ${tolerance}; it must be above 0 and below 1.`, {
    fields: { tolerance },
  });
}

function noWeights(step: number, steps: readonly number[]): string {
  const next = steps.find((one) => one > step);
  const has = steps.length === 0 ? "it took none" : `it took those of steps ${steps.join(", ")}`;
  const advice = next === undefined ? "" : `; verifying up to step ${next} compares them there`;
  return `The weights after step ${step}: the run took no checkpoint there (${has})${advice}.`;
}

function stepsOf(comparisons: Comparisons, differences: readonly Difference[]): VerifiedStep[] {
  return comparisons.steps().map((step) => ({
    step,
    compared: Object.fromEntries(
      SUBJECTS.flatMap((about) => {
        const all = comparisons.count(about, step);
        const differing = differences.filter((one) => one.about === about && one.step === step).length;
        return all === 0 ? [] : [[about, { all, differing }]];
      }),
    ),
  }));
}
