/**
 * How a reward that fails is named: by itself, the step and, where it is known, the row and the sample.
 *
 * @module
 */

import { RewardError, ThurstoneError } from "../errors.js";

/** Where a reward is being run, for errors. */
export interface RewardPlace {
  readonly reward: string;
  readonly step: number | undefined;
  /** [P] */
  readonly rowIds: readonly string[];
}

/** Which prompt and completion of the step it is about. */
export interface Spot {
  readonly row?: string;
  readonly sample?: number;
}

type Subject = Pick<RewardPlace, "reward"> & Partial<Pick<RewardPlace, "step">>;

/** @param what what became of the reward, in the past tense and without a full stop */
export function failure(code: string, what: string, subject: Subject, spot: Spot, cause?: unknown): RewardError {
  const { reward, step } = subject;
  const where = [
    ...(step === undefined ? [] : [`step ${step}`]),
    ...(spot.row === undefined ? [] : [`row ${spot.row}`]),
    ...(spot.sample === undefined ? [] : [`sample ${spot.sample}`]),
  ];
  const suffix = where.length === 0 ? "" : ` (${where.join(", ")})`;
  return new RewardError(code, `the reward "${reward}" ${what}${suffix}.`, {
    cause,
    fields: {
      ...(ThurstoneError.isInstance(cause) && cause.fields),
      reward,
      ...(step !== undefined && { step }),
      ...spot,
    },
  });
}

/**
 * What a reward's own code threw. A RewardError keeps its code, whichever copy of the package it comes from.
 *
 * @param at what is to be told of the tries, if anything
 */
export function thrown(error: unknown, subject: Subject, spot: Spot = {}, at = ""): RewardError {
  const reason = (error instanceof Error ? error.message : String(error)).replace(/\.$/, "");
  return ThurstoneError.isInstance(error) && error.name === "RewardError"
    ? failure(error.code, `failed${at}: ${reason}`, subject, spot, error)
    : failure("REWARD_THREW", `threw${at}: ${reason}`, subject, spot, error);
}
