/**
 * Runs a reward on texts of your own: no worker, no model, no run, the same checks and the same errors.
 *
 * @module
 */
import { combineRewards, scoreRewards } from "../rewards/index.js";
import type {
  BuiltInRewardOptions,
  Reward,
  RewardAttachment,
  RewardCompletion,
  RewardValue,
  Sleep,
} from "../rewards/index.js";
import { tokensOf } from "./fake-tokens.js";

/** A completion as text, or with what else the reward looks at. */
export type TestCompletion =
  string | ({ readonly text: string } & Partial<Pick<RewardCompletion, "tokenIds" | "finishReason" | "logprobs">>);

/** A prompt and what was answered to it. */
export interface TestPrompt {
  /** Fields of the data row. Default: none but an id, the prompt's position from 0. */
  readonly row?: Readonly<Record<string, unknown>>;
  /** [G] Token ids that are not given are the bytes of the text; finish reasons are "stop". */
  readonly completions: readonly TestCompletion[];
}

export interface TestRewardOptions {
  /** Rollout batch, as a run would hand it in. */
  readonly step?: number;
  readonly signal?: AbortSignal;
  /** How time passes for `timeoutMs` and `backoffMs`. Default: as it does. */
  readonly sleep?: Sleep;
  /** Options of a built-in reward. */
  readonly options?: BuiltInRewardOptions;
}

export interface TestedReward {
  /** [P][G] */
  readonly values: RewardValue[][];
  /** [P][G] what the reward attached; null where nothing. */
  readonly attachments: (RewardAttachment | null)[][];
  /** What a model would earn that always answers the same; null where the reward cannot say. */
  readonly constantAnswer: number | null;
}

/**
 * @param reward made by `defineReward`, or the name of a built-in one
 * @param prompts the step, as far as the reward is concerned
 * @throws RewardError as a run would; ConfigError CONFIG_REWARD_UNKNOWN
 *
 * @example
 * const { values } = await testReward(brief, [{ row: { mos: 3 }, completions: ["short", "x".repeat(100)] }]);
 * expect(values).toEqual([[1, 0]]);
 */
export async function testReward(
  reward: Reward | string,
  prompts: readonly TestPrompt[],
  { options, ...circumstances }: TestRewardOptions = {},
): Promise<TestedReward> {
  const rewards = combineRewards([reward], options);
  const { name } = rewards[0]!;
  const groups = prompts.map(({ row = {}, completions }, prompt) => ({
    prompt: { row: { id: String(prompt), ...row } },
    completions: completions.map(toCompletion),
  }));
  const { breakdown, attachments, constantAnswers } = await scoreRewards(groups, rewards, circumstances);
  return {
    values: breakdown[name]!,
    attachments: attachments[name] ?? groups.map(({ completions }) => completions.map(() => null)),
    constantAnswer: constantAnswers[name] ?? null,
  };
}

function toCompletion(given: TestCompletion): Omit<RewardCompletion, "index"> {
  const { text, ...more } = typeof given === "string" ? { text: given } : given;
  return { text, tokenIds: tokensOf(text), finishReason: "stop", ...more };
}
