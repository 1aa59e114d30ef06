/**
 * What a reward is, and how to write one.
 *
 * @module
 */

import type { z } from "zod";
import { ConfigError } from "../errors.js";
import type { RewardAttachment } from "./attachments.js";
import { checkCalls, type RewardCalls } from "./calls.js";

/** Null: this completion cannot be judged. It then gets no advantage, unless another reward judges it. */
export type RewardValue = number | null;

/** A value, and what is to be recorded beside it in the rollouts of the run. */
export interface RewardVerdict extends RewardAttachment {
  readonly value: RewardValue;
}

/** What a reward says of one completion. */
export type RewardResult = RewardValue | RewardVerdict;

type Awaitable<T> = T | PromiseLike<T>;

/** A completion as reward functions see it. */
export interface RewardCompletion {
  /** Decoded text without special tokens. */
  readonly text: string;
  /** [T] ids as sampled. */
  readonly tokenIds: ArrayLike<number>;
  /** "length": cut at the limit; "aborted": given up by the sampler. */
  readonly finishReason: "stop" | "length" | "aborted";
  /** [T] log-probabilities under the distribution sampled from. */
  readonly logprobs?: ArrayLike<number>;
  /** Position among the completions of its prompt. */
  readonly index: number;
}

interface Circumstances {
  /** Rollout batch, 1-based; absent outside of a run. */
  readonly step?: number;
  /** Aborted when nobody waits for the result any more: the call is over, late, or the run was given up. */
  readonly signal: AbortSignal;
}

export interface ScoreContext<Row> extends Circumstances {
  readonly completion: RewardCompletion;
  /** The data row: as the schema returns it, or all of its fields, those of `extra` included. */
  readonly row: Row;
}

export interface ScoreGroupContext<Row> extends Circumstances {
  /** [G] all completions of one prompt. */
  readonly completions: readonly RewardCompletion[];
  readonly row: Row;
}

export interface ScoreBatchContext<Row> extends Circumstances {
  /** [P] every prompt of the step, over all ranks. */
  readonly groups: readonly { readonly row: Row; readonly completions: readonly RewardCompletion[] }[];
}

/** Exactly one of the three; what it looks at is its scope. */
export type RewardScope<Row> =
  | {
      /** Judges one completion by itself. */
      readonly score: (context: ScoreContext<Row>) => Awaitable<RewardResult>;
      readonly scoreGroup?: never;
      readonly scoreBatch?: never;
    }
  | {
      /** Judges the completions of one prompt together; returns [G]. */
      readonly scoreGroup: (context: ScoreGroupContext<Row>) => Awaitable<readonly RewardResult[]>;
      readonly score?: never;
      readonly scoreBatch?: never;
    }
  | {
      /** Judges all completions of a step together; returns [P][G]. */
      readonly scoreBatch: (context: ScoreBatchContext<Row>) => Awaitable<readonly (readonly RewardResult[])[]>;
      readonly score?: never;
      readonly scoreGroup?: never;
    };

interface RewardFacts<Row> extends RewardCalls {
  /** Names the reward in metrics and errors: letters, digits, "_", "-", ".". */
  readonly name: string;
  /** Prompts a step must hold for this reward to be worth anything: 2 where pictures are compared. Default 1. */
  readonly minimumPrompts?: number;
  /** What a model earns that always gives the same answer; null where that cannot be said. Feeds the collapse alarm. */
  readonly constantAnswer?: (context: ScoreBatchContext<Row>) => RewardValue;
  /** Called once before a run loads its model; throws what would go wrong in the first step. */
  readonly open?: (context: Pick<Circumstances, "signal">) => Awaitable<void>;
  /** Called when a run ends, however it ends. The reward may be used again afterwards. */
  readonly close?: () => Awaitable<void>;
}

/** What `defineReward` takes. Without a schema, a row is a record of unknown fields. */
export type RewardDefinition<Schema extends z.ZodType> = RewardFacts<z.output<Schema>> & {
  /** Checks each row once per step and gives the row its type. Unknown fields are the schema's business. */
  readonly row?: Schema;
} & RewardScope<z.output<Schema>>;

declare const rowType: unique symbol;

/** A reward; made by `defineReward`. */
export interface Reward<Row = never> {
  readonly name: string;
  readonly minimumPrompts: number;
  readonly row: z.ZodType | undefined;
  readonly scope: RewardScope<never>;
  readonly calls: RewardCalls;
  readonly constantAnswer: ((context: ScoreBatchContext<never>) => RewardValue) | undefined;
  readonly open: ((context: Pick<Circumstances, "signal">) => Awaitable<void>) | undefined;
  readonly close: (() => Awaitable<void>) | undefined;
  /** Type only: which rows it takes. */
  readonly [rowType]?: (row: Row) => void;
}

/** Marks what `defineReward` made, also when two copies of this package are loaded. */
const MARKER = Symbol.for("thurstone.reward");
const SCOPES = ["score", "scoreGroup", "scoreBatch"] as const;

/**
 * Makes a reward out of a function with exactly one scope.
 *
 * @example
 * const brief = defineReward({
 *   name: "brief",
 *   row: z.object({ mos: z.number() }),
 *   score: ({ completion, row }) => (completion.tokenIds.length < 40 + 8 * row.mos ? 1 : 0),
 * });
 *
 * @throws ConfigError CONFIG_REWARD_NAME, CONFIG_REWARD_SCOPE, CONFIG_REWARD_CALLS
 */
export function defineReward<Schema extends z.ZodType = z.ZodType<Readonly<Record<string, unknown>>>>(
  definition: RewardDefinition<Schema>,
): Reward<z.output<Schema>> {
  const { name, minimumPrompts = 1, row, constantAnswer, open, close } = definition;
  if (typeof name !== "string" || !/^[\w.-]+$/.test(name)) {
    throw new ConfigError(
      "CONFIG_REWARD_NAME",
      `a reward is named ${JSON.stringify(name)}; a name is made of letters, digits, "_", "-" and ".", because metrics carry it.`,
    );
  }
  const given = SCOPES.filter((scope) => definition[scope] !== undefined);
  if (given.length !== 1 || typeof definition[given[0]!] !== "function") {
    throw new ConfigError(
      "CONFIG_REWARD_SCOPE",
      `the reward "${name}" defines ${given.length === 0 ? "no scope" : given.join(" and ")}; give exactly one function: score (one completion), scoreGroup (the completions of one prompt) or scoreBatch (the whole step).`,
      { fields: { reward: name } },
    );
  }
  const scope = { [given[0]!]: definition[given[0]!] } as unknown as RewardScope<never>;
  const calls = checkCalls(name, definition);
  return Object.freeze({ name, minimumPrompts, row, scope, calls, constantAnswer, open, close, [MARKER]: true });
}

/** True for what `defineReward` made. */
export function isReward(value: unknown): value is Reward {
  return typeof value === "object" && value !== null && MARKER in value;
}
