/**
 * Alarms: what a person should be told in plain words while a run goes wrong.
 *
 * An alarm fires when its condition begins to hold and is silent until it has been away for a while.
 *
 * @module
 */
import type { AlarmName, StepValues } from "./events.js";

/** What is told. */
export interface Alarm {
  readonly name: AlarmName;
  readonly message: string;
}

/** What the alarms remember; part of a checkpoint, so that a resumed run warns as the uninterrupted one would. */
export interface AlarmState {
  /** Spread of the predictions over the first rollout batches, summed, and how many there were. */
  spreadSum: number;
  spreadCount: number;
  /** Step at which each alarm was last seen to hold. */
  lastSeen: Partial<Record<AlarmName, number>>;
}

/** Rollout batches that make up "the start" of a run. */
const START_BATCHES = 5;
/** Steps an alarm must have been away before it is told again. */
const QUIET_STEPS = 20;
/** Answers that are all the same earn what a constant answer does, but the means add up in another order. */
const ROUNDING = 1e-9;

/** The state of a run that has just begun. */
export function createAlarmState(): AlarmState {
  return { spreadSum: 0, spreadCount: 0, lastSeen: {} };
}

/** What a step shows of itself. */
export interface AlarmInput {
  readonly step: number;
  readonly metrics: StepValues;
  /** What a constant answer would earn, by reward; null where a reward cannot say. Only rewards that are paid. */
  readonly constantAnswers: Readonly<Record<string, number | null>>;
  readonly updateSkipped: boolean;
  /** Whether this is the first update of its rollout batch; the others show the same completions again. */
  readonly firstOfRollout: boolean;
}

/** @returns the alarms that begin at this step; `state` is updated */
export function checkAlarms(state: AlarmState, input: AlarmInput): Alarm[] {
  const holding = conditions(state, input);
  const spread = input.metrics["prediction_spread"];
  if (input.firstOfRollout && typeof spread === "number" && state.spreadCount < START_BATCHES) {
    state.spreadSum += spread;
    state.spreadCount += 1;
  }
  return holding.filter(({ name }) => {
    const last = state.lastSeen[name];
    state.lastSeen[name] = input.step;
    return last === undefined || input.step - last > QUIET_STEPS;
  });
}

/** Told whenever parts have become smaller because memory ran out; `state` remembers how small they are. */
export function memoryAlarm(
  { tokensPerPart: tokens }: { readonly tokensPerPart: number | null },
  state: { tokensPerPart?: number },
): Alarm[] {
  if (tokens === null || tokens === state.tokensPerPart) return [];
  state.tokensPerPart = tokens;
  const message = `the worker ran out of memory; the batch was done once more in parts of at most ${tokens} tokens, and so are those to come. Set max_tokens_per_part to that, or see the plan of "thurstone train --dry-run".`;
  return [{ name: "memory", message }];
}

function conditions(state: AlarmState, { metrics, constantAnswers, updateSkipped }: AlarmInput): Alarm[] {
  const alarms: Alarm[] = [];
  const above = (name: string, limit: number): number | undefined => {
    const value = metrics[name];
    return value !== null && value !== undefined && value > limit ? value : undefined;
  };
  const percent = (share: number): string => `${Math.round(share * 100)} %`;

  const failed = above("parse/failed_ratio", 0.2);
  if (failed !== undefined) {
    alarms.push({
      name: "parse-failures",
      message: `${percent(failed)} of the answers could not be parsed; they earn 0 from rewards that need a score. Look at completions with "thurstone runs rollouts".`,
    });
  }
  const clipped = above("completions/clipped_ratio", 0.2);
  if (clipped !== undefined) {
    alarms.push({
      name: "truncation",
      message: `${percent(clipped)} of the completions were cut at max_completion_length. Raise it, or ask for shorter answers.`,
    });
  }
  const dead = above("frac_reward_zero_std", 0.8);
  if (dead !== undefined) {
    alarms.push({
      name: "zero-variance",
      message: `in ${percent(dead)} of the groups all completions earned the same, so they teach nothing. Raise temperature or num_generations, or use a finer reward.`,
    });
  }
  const entropy = metrics["entropy"];
  if (entropy !== null && entropy !== undefined && entropy < 0.01) {
    alarms.push({
      name: "entropy",
      message: `the entropy per token fell to ${entropy.toFixed(4)} nats: the model has almost stopped exploring. Lower learning_rate or raise beta.`,
    });
  }
  const constant = above("constant_answer_ratio", 0.9);
  const sameScore =
    constant === undefined
      ? []
      : [
          {
            name: "collapse" as const,
            message: `${percent(constant)} of the answers that could be read give one and the same score, whatever the picture: there is nothing left to rank. Start from a model whose scores differ, raise temperature, or lower learning_rate.`,
          },
        ];
  alarms.push(...[...collapses(state, metrics, constantAnswers), ...sameScore].slice(0, 1));
  if (updateSkipped) {
    alarms.push({
      name: "update-skipped",
      message:
        "the loss or the gradient was not finite; the update was left out and the weights kept (update_skipped in metrics.jsonl counts them). If it comes again, lower learning_rate, or compute in float32.",
    });
  }
  return alarms;
}

/** Rewards that pay the model no more than a constant answer while its scores have moved together. */
function collapses(
  state: AlarmState,
  metrics: StepValues,
  constantAnswers: AlarmInput["constantAnswers"],
): (Alarm & { readonly name: "collapse" })[] {
  const spread = metrics["prediction_spread"];
  const start = state.spreadSum / Math.max(1, state.spreadCount);
  if (state.spreadCount < START_BATCHES || typeof spread !== "number" || spread >= start / 2) return [];
  return Object.entries(constantAnswers).flatMap(([reward, constant]) => {
    const earned = metrics[`rewards/${reward}/mean`];
    if (constant === null || typeof earned !== "number" || earned > constant + ROUNDING) return [];
    const instead =
      reward === "fidelity"
        ? 'Start from a model that already ranks, set fidelity_warmup to "win_probability", or use the reward win_probability.'
        : "Start from a model that already ranks, raise temperature, or lower learning_rate.";
    const message = `the answers collapse to a constant: ${reward} ${earned.toFixed(3)} is no better than the ${constant.toFixed(3)} a constant answer earns, and the spread of the scores fell from ${start.toFixed(2)} to ${spread.toFixed(2)}. ${instead}`;
    return [{ name: "collapse", message }];
  });
}
