import { expect } from "vitest";
import { RewardError } from "../../src/errors.js";

/** The RewardError that a promise rejects with. */
export async function failureOf(promise: Promise<unknown>): Promise<RewardError> {
  const error: unknown = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(RewardError);
  return error as RewardError;
}
