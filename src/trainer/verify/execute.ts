/**
 * Steps of a run executed again, by the code that trains, into memory; and each compared with what the run recorded.
 *
 * @module
 */
import { RunError } from "../../errors.js";
import type { Prompt } from "../../policy/index.js";
import type { Row } from "../../data/index.js";
import type { LogRecord, MetricsRecord } from "../../runs/index.js";
import type { StepValues } from "../events.js";
import { machineFingerprint } from "../fingerprint.js";
import type { Run } from "../milestones.js";
import type { RunBasis } from "../prepare.js";
import { readRollout } from "../replay/record.js";
import { firstState, restoreState } from "../run-folder.js";
import type { RunKind } from "../run-loop.js";
import { compareCompletions } from "./completions.js";
import { checkEnvironment } from "./environment.js";
import { leaveOutModel } from "./exported-model.js";
import { checkFingerprint, checkSources } from "./inputs.js";
import { compareEvents, compareMetrics } from "./logs.js";
import { createMemoryWriter } from "./memory-writer.js";
import type { Written } from "./memory-writer.js";
import { watchedPolicy } from "./recorded-policy.js";
import { requireRecorded } from "./rewards.js";
import { compareSaved } from "./saved.js";
import { batchesOf, otherMachine, startOf } from "./start.js";
import type { Verified } from "./verified.js";

/** How the steps were executed. */
export interface Executed {
  /** Steps, inclusive: the rollout batches that hold those asked for, and what lies between them and the start. */
  readonly from: number;
  readonly to: number;
  /** The checkpoint they began at; null: the model that the run began with. */
  readonly checkpoint: string | null;
  /** How this machine differs from the run's, in words; numbers are compared to the bit where it does not. */
  readonly otherMachine: readonly string[];
  /** SHA-256 of what was saved of them, by step and file name, in hex. */
  readonly digests: Readonly<Record<number, Readonly<Record<string, string>>>>;
}

/** Executes the steps and compares as it goes. */
export async function execute<Metrics extends StepValues, Prepared extends RunBasis, Encoded>(
  kind: RunKind<Metrics, Prepared, Encoded>,
  verified: Verified,
): Promise<Executed> {
  const { run, environment, comparisons, current, signal } = verified;
  const prepared = await kind.prepare();
  await using _released = { [Symbol.asyncDispose]: async () => kind.release?.(prepared) };
  const batches = batchesOf(prepared, verified);
  await checkSources(prepared, environment, comparisons);
  const start = await startOf(verified, (batches.first - 1) * prepared.plan.updatesPerRollout);
  if (start !== null) checkFingerprint(start.state.fingerprint, environment.fingerprint, start.step, comparisons);

  await using policy = await kind.open(prepared);
  const differences = await otherMachine(verified, start, machineFingerprint(policy.description));
  const exact = differences.length === 0;
  checkEnvironment(environment, { prepared, description: policy.description, exact }, comparisons);
  if (start !== null) await restoreState(policy, start.folder, start.state);
  const state = start?.state ?? firstState(prepared, environment.fingerprint);
  const { writer, written } = createMemoryWriter(run.folder);
  let prompts: readonly Prompt<Row>[] = [];
  const never = new AbortController().signal;
  const executing: Run<Metrics> = {
    prepared,
    policy: watchedPolicy(policy, () => ({
      records: verified.resample ? null : current.records,
      onPrompts: (asked) => (prompts = asked),
      longest: prepared.config.max_completion_length,
    })),
    writer,
    state,
    saving: { current: null },
    control: { emit: () => undefined, stopping: never, hurried: false, givenUp: never },
    callbacks: {},
    signal,
  };
  const recipe = kind.recipe(executing, prepared);
  const metrics = await run.metrics();
  const from = state.step + 1;
  const digests: Record<number, Readonly<Record<string, string>>> = {};
  const ends = new Set<number>();
  for (let rollout = state.rollout + 1; rollout <= batches.last; rollout += 1) {
    signal?.throwIfAborted();
    const first = state.step + 1;
    const lines = verified.samples ? await run.rollouts(first) : [];
    current.records = lines.length === 0 ? null : readRollout(lines, first);
    if (verified.samples) requireRecord(verified, first);
    recipe.recorder.begin();
    const encoded = await recipe.encode(rollout);
    recipe.recorder.onPrompts();
    await recipe.step(rollout, encoded);
    state.rollout = rollout;

    const pictures = prompts.map(({ row }) => row.images);
    compareBatch({ first, last: state.step, lines, pictures, metrics, written, exact }, prepared, verified);
    const saved = await compareSaved(executing, verified, { written, from, exact });
    if (saved !== null) digests[state.step] = saved;
    ends.add(state.step);
    verified.onStep(state.step);
  }
  for (const step of await run.rolloutSteps()) {
    if (step < from || step > state.step || written.rollouts.has(step)) continue;
    comparisons.compare({
      about: "record",
      step,
      what: "completions of a step that drew none",
      recorded: step,
      found: null,
    });
  }
  leaveOutModel(verified.model, ends, comparisons);
  return { from, to: state.step, checkpoint: start?.folder ?? null, otherMachine: differences, digests };
}

/** @throws RunError VERIFY_NOT_RECORDED, VERIFY_REWARD_MISSING */
function requireRecord({ run, current, resample, takenRewards }: Verified, step: number): void {
  if (current.records === null && !resample) {
    throw new RunError(
      "VERIFY_NOT_RECORDED",
      `the run in ${run.folder} recorded no completions of step ${step}, from which it could be executed again. Draw them again (--resample); runs record them unless log_completions is false.`,
      { fields: { step } },
    );
  }
  requireRecorded(current.records, takenRewards, step);
}

interface Batch {
  /** Its steps, inclusive. */
  readonly first: number;
  readonly last: number;
  /** Its recorded completions. */
  readonly lines: readonly LogRecord[];
  readonly pictures: readonly (readonly string[])[];
  /** Lines of all steps. */
  readonly metrics: readonly MetricsRecord[];
  readonly written: Written;
  readonly exact: boolean;
}

function compareBatch(
  { first, last, lines, pictures, metrics, written, exact }: Batch,
  { plan }: RunBasis,
  verified: Verified,
): void {
  const { comparisons, resample: resampled, takenRewards, loggingSteps, events } = verified;
  const tolerance = exact ? null : verified.tolerance;
  if (lines.length > 0) {
    const found = written.rollouts.get(first) ?? [];
    compareCompletions(lines, found, { step: first, resampled, takenRewards, pictures, tolerance }, comparisons);
  } else if (verified.samples) comparisons.leaveOut(`The completions of step ${first}: the run recorded none.`);
  for (let step = first; step <= last; step += 1) {
    const logged = step % loggingSteps === 0 || step === plan.steps;
    const found = written.metrics.get(step)!;
    const recorded = metrics.filter((line) => line.step === step);
    compareMetrics(recorded, found, { step, resampled, logged, tolerance }, comparisons);
    if (exact) compareEvents(events, written.events, step, comparisons);
    else comparisons.leaveOut("Alarms: numbers of another machine may pass a threshold where the run's did not.");
  }
}
