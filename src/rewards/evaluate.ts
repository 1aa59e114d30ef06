/**
 * Running one reward in its scope, and holding it to numbers.
 *
 * @module
 */

import type { RewardError } from "../errors.js";
import { ATTACHMENT_LIMITS, attachmentProblem, imageBytes, type RewardAttachment } from "./attachments.js";
import { createCalls, timeLimit, type CallOutcome, type Sleep } from "./calls.js";
import type { Reward, RewardValue, RewardVerdict, ScoreBatchContext } from "./define.js";
import { failure, thrown, type RewardPlace, type Spot } from "./failure.js";

/** What a reward said of a step. */
export interface Evaluated {
  /** [P][G] in order, whatever order asynchronous results came in. */
  readonly values: RewardValue[][];
  /** [P][G] what is to be recorded, null where nothing is; absent when nothing is anywhere. */
  readonly attachments?: (RewardAttachment | null)[][];
}

/**
 * @throws RewardError REWARD_THREW, REWARD_TIMEOUT, REWARD_SHAPE, REWARD_NOT_A_NUMBER, REWARD_ATTACHMENT, or the code of a
 *   RewardError that the reward itself threw
 */
export async function evaluateReward(
  reward: Reward,
  batch: ScoreBatchContext<never>,
  place: RewardPlace,
  sleep: Sleep,
): Promise<Evaluated> {
  const { scope } = reward;
  const { groups, ...circumstances } = batch;
  const call = createCalls(reward.calls, { signal: batch.signal, sleep });
  const attempt = async <T>(work: (signal: AbortSignal) => T | PromiseLike<T>, spot: Spot): Promise<T> => {
    const outcome = await call(work);
    if ("value" in outcome) return outcome.value;
    throw callFailure(outcome, reward, place, spot);
  };
  const spotOf = (prompt: number, sample?: number): Spot => ({
    row: place.rowIds[prompt]!,
    ...(sample !== undefined && { sample }),
  });
  const readGroup = (results: readonly unknown[], prompt: number): RewardVerdict[] => {
    expectLength(results, groups[prompt]!.completions.length, "completions", place, spotOf(prompt));
    return results.map((result, sample) => readVerdict(result, place, spotOf(prompt, sample)));
  };

  if (scope.scoreBatch !== undefined) {
    const results = await attempt((signal) => scope.scoreBatch({ ...batch, signal }), {});
    expectLength(results, groups.length, "prompts", place, {});
    return collect(results.map(readGroup), place);
  }
  const verdicts = groups.map(async ({ row, completions }, prompt) => {
    if (scope.scoreGroup !== undefined) {
      const judge = (signal: AbortSignal) => scope.scoreGroup({ ...circumstances, signal, row, completions });
      return readGroup(await attempt(judge, spotOf(prompt)), prompt);
    }
    return Promise.all(
      completions.map(async (completion, sample) => {
        const spot = spotOf(prompt, sample);
        const judge = (signal: AbortSignal) => scope.score({ ...circumstances, signal, row, completion });
        return readVerdict(await attempt(judge, spot), place, spot);
      }),
    );
  });
  return collect(await Promise.all(verdicts), place);
}

function collect(verdicts: readonly (readonly RewardVerdict[])[], place: RewardPlace): Evaluated {
  const values = verdicts.map((group) => group.map(({ value }) => value));
  const attachments = verdicts.map((group) => group.map(attachmentOf));
  const present = attachments.flat().filter((attachment) => attachment !== null);
  if (present.length === 0) return { values };
  const bytes = present.reduce((sum, attachment) => sum + imageBytes(attachment), 0);
  const { stepBytes } = ATTACHMENT_LIMITS;
  if (bytes > stepBytes) {
    const what = `attached pictures of ${bytes} bytes to one step; at most ${stepBytes} are kept. Attach fewer or smaller ones`;
    throw failure("REWARD_ATTACHMENT", what, place, {});
  }
  return { values, attachments };
}

function attachmentOf({ columns, images }: RewardVerdict): RewardAttachment | null {
  if (columns === undefined && images === undefined) return null;
  return { ...(columns !== undefined && { columns }), ...(images !== undefined && { images }) };
}

function callFailure(
  { error, late, tries }: Exclude<CallOutcome<never>, { readonly value: never }>,
  { calls }: Reward,
  place: RewardPlace,
  spot: Spot,
): RewardError {
  const again = tries === 1 ? "" : ` in each of ${tries} tries`;
  if (late) {
    const what = `gave no answer within ${timeLimit(calls)} s${again}; raise its timeoutMs if it needs longer`;
    return failure("REWARD_TIMEOUT", what, place, spot);
  }
  return thrown(error, place, spot, again === "" ? "" : `${again}, at last`);
}

function expectLength(
  values: unknown,
  expected: number,
  of: string,
  place: RewardPlace,
  spot: Spot,
): asserts values is readonly unknown[] {
  if (Array.isArray(values) && values.length === expected) return;
  const got = Array.isArray(values) ? `a list of ${values.length}` : describe(values);
  throw failure("REWARD_SHAPE", `returned ${got}; expected one entry for each of the ${expected} ${of}`, place, spot);
}

function readVerdict(result: unknown, place: RewardPlace, spot: Spot): RewardVerdict {
  if (typeof result !== "object" || result === null || !("value" in result)) {
    return { value: expectNumber(result, place, spot) };
  }
  const verdict = result as RewardVerdict;
  const problem = attachmentProblem(verdict);
  if (problem !== null) throw failure("REWARD_ATTACHMENT", `attached ${problem}`, place, spot);
  return { ...verdict, value: expectNumber(verdict.value, place, spot) };
}

function expectNumber(value: unknown, place: RewardPlace, spot: Spot): RewardValue {
  if (value === null || (typeof value === "number" && Number.isFinite(value))) return value;
  const advice = "expected a finite number, or null for a completion that cannot be judged";
  throw failure("REWARD_NOT_A_NUMBER", `returned ${describe(value)}; ${advice}`, place, spot);
}

function describe(value: unknown): string {
  if (typeof value === "number") return String(value);
  return typeof value === "string" ? `the text ${JSON.stringify(value)}` : `a value of type ${typeof value}`;
}
