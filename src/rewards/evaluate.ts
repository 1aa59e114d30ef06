/**
 * Running one reward in its scope, and holding it to numbers.
 *
 * @module
 */

import { RewardError } from "../errors.js";
import type { Reward, RewardValue, ScoreBatchContext } from "./define.js";

/** Where a reward is being run, for errors. */
export interface RewardPlace {
  readonly reward: string;
  readonly step: number | undefined;
  /** [P] */
  readonly rowIds: readonly string[];
}

interface Spot {
  readonly row?: string;
  readonly sample?: number;
}

/**
 * @returns [P][G], in order whatever order asynchronous results came in
 * @throws RewardError REWARD_THREW, REWARD_SHAPE, REWARD_NOT_A_NUMBER
 */
export async function evaluateReward(
  reward: Reward,
  batch: ScoreBatchContext<never>,
  place: RewardPlace,
): Promise<RewardValue[][]> {
  const { scope } = reward;
  const { groups, ...circumstances } = batch;
  const { rowIds } = place;
  if (scope.scoreBatch !== undefined) {
    const values = await attempt(() => scope.scoreBatch(batch), place, {});
    expectLength(values, groups.length, "prompts", place, {});
    return values.map((group, prompt) => {
      expectLength(group, groups[prompt]!.completions.length, "completions", place, { row: rowIds[prompt]! });
      return group.map((value, sample) => expectNumber(value, place, { row: rowIds[prompt]!, sample }));
    });
  }
  return Promise.all(
    groups.map(async ({ row, completions }, prompt) => {
      const at = { row: rowIds[prompt]! };
      if (scope.scoreGroup !== undefined) {
        const values = await attempt(() => scope.scoreGroup({ ...circumstances, row, completions }), place, at);
        expectLength(values, completions.length, "completions", place, at);
        return values.map((value, sample) => expectNumber(value, place, { ...at, sample }));
      }
      return Promise.all(
        completions.map(async (completion, sample) => {
          const spot = { ...at, sample };
          const value = await attempt(() => scope.score({ ...circumstances, row, completion }), place, spot);
          return expectNumber(value, place, spot);
        }),
      );
    }),
  );
}

async function attempt<T>(run: () => T | PromiseLike<T>, place: RewardPlace, spot: Spot): Promise<T> {
  try {
    return await run();
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw failure("REWARD_THREW", `threw: ${reason}`, place, spot, cause);
  }
}

function expectLength(values: unknown, expected: number, of: string, place: RewardPlace, spot: Spot): void {
  if (Array.isArray(values) && values.length === expected) return;
  const got = Array.isArray(values) ? `a list of ${values.length}` : describe(values);
  throw failure("REWARD_SHAPE", `returned ${got}; expected one entry for each of the ${expected} ${of}`, place, spot);
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

function failure(code: string, what: string, place: RewardPlace, spot: Spot, cause?: unknown): RewardError {
  const { reward, step } = place;
  const where = [
    ...(step === undefined ? [] : [`step ${step}`]),
    ...(spot.row === undefined ? [] : [`row ${spot.row}`]),
    ...(spot.sample === undefined ? [] : [`sample ${spot.sample}`]),
  ];
  const suffix = where.length === 0 ? "" : ` (${where.join(", ")})`;
  return new RewardError(code, `the reward "${reward}" ${what}${suffix}.`, {
    cause,
    fields: { reward, step, ...spot },
  });
}
