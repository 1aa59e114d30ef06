/**
 * How much of a batch the worker has in memory at once: what goes into one call of `generate`, and into one forward and
 * backward pass.
 *
 * @module
 */
import type { TextShape } from "./architecture.js";

/** Completions that are sampled in one go, over all ranks. */
export interface SampledBatch {
  readonly prompts: number;
  /** Completions of a prompt. */
  readonly samples: number;
  /** Tokens of a completion. */
  readonly completionTokens: number;
}

/** What held-out rows are asked for in one go. */
export interface EvaluationWork {
  /** null: nothing is sampled. */
  readonly answers: SampledBatch | null;
  /** Tokens between a prompt and the place at which an expected score is read; null: none is. */
  readonly tokensAheadOfScore: number | null;
}

/** What a run asks of the model, over all ranks. */
export interface Workload {
  /** Prompts of one rollout batch, or of one update where nothing is sampled. */
  readonly prompts: number;
  /** Of these, prompts that feed one update. */
  readonly promptsPerUpdate: number;
  /** Completions of a prompt. */
  readonly samples: number;
  /** Tokens of a prompt, pictures included. */
  readonly promptTokens: number;
  /** Tokens of a completion. */
  readonly completionTokens: number;
  /** Tokens and patches that the pictures of a prompt come to. */
  readonly imageTokens: number;
  readonly patches: number;
  /** Whether completions are sampled to be trained on. */
  readonly sampled: boolean;
  /** null: no rows are held out. */
  readonly evaluation: EvaluationWork | null;
  /** Whether log-probabilities are taken at another temperature than 1. */
  readonly tempered: boolean;
  /** Most tokens of a pass; null: groups up to `PART_ACTIVATIONS`. */
  readonly tokensPerPass: number | null;
  /** Most completions of a pass; null: no limit. */
  readonly completionsPerPass: number | null;
  /** Bytes of all different pictures as the worker keeps them, and what it keeps at most. */
  readonly pictureBytes: number;
  readonly pictureLimit: number;
}

/** Bytes of float32 logits held at once; `logprobs.LOGITS_BYTES`. */
export const LOGITS = 512 * 2 ** 20;

/** Bytes of activations of one forward and backward pass where `max_tokens_per_part` does not say how many tokens. */
export const PART_ACTIVATIONS = 2 ** 28;

/** Tokens that a pass may have where none are asked for; the planner's own default. */
const MOST_TOKENS = 32_768;

/** One forward and backward pass of a rank. */
export interface Pass {
  readonly groups: number;
  readonly completions: number;
  /** Of the packed row: the last token of a completion is not fed. */
  readonly tokens: number;
  /** Tokens that have a log-probability. */
  readonly scored: number;
  readonly patches: number;
  readonly imageTokens: number;
  /** Whether an update of this rank takes more than one. */
  readonly several: boolean;
}

/** @param tokenBytes what the worker takes a token's activations to be, see `toldPerToken` */
export function largestPass(work: Workload, ranks: number, tokenBytes: number): Pass {
  const { samples, promptTokens: prompt, completionTokens: completion } = work;
  const groupsOfRank = Math.ceil(work.promptsPerUpdate / ranks);
  const limit = work.tokensPerPass ?? MOST_TOKENS;
  const target = work.tokensPerPass ?? Math.min(MOST_TOKENS, Math.max(1, Math.floor(PART_ACTIVATIONS / tokenBytes)));
  const rows = work.completionsPerPass ?? Number.POSITIVE_INFINITY;
  const groupTokens = prompt + samples * completion;

  const cut = groupTokens > limit ? Math.max(1, Math.floor((limit - prompt) / completion)) : samples;
  const own = Math.min(samples, rows, cut);
  const whole = own === samples;
  const fitting = Math.min(Math.floor(target / groupTokens), Math.floor(rows / samples));
  const groups = whole ? Math.min(groupsOfRank, Math.max(1, fitting)) : 1;
  return {
    groups,
    completions: groups * own,
    tokens: groups * (prompt + own * (completion - 1)),
    scored: groups * own * completion,
    patches: groups * work.patches,
    imageTokens: groups * work.imageTokens,
    several: !whole || groupsOfRank > groups,
  };
}

/** Bytes of activations per token as the worker tells them in its description, by which passes are filled. */
export function toldPerToken(text: TextShape, bytes: number, checkpointing: boolean): number {
  const { hiddenSize, intermediateSize, layers } = text;
  const full = 9 * hiddenSize + 4 * intermediateSize;
  return bytes * (checkpointing ? layers * hiddenSize + full : layers * full);
}

/** Rows x tokens of one call of `generate`; the planner's own limit. */
const SAMPLED_TOKENS = 131_072;

/** Prompts of one call of `generate` on one rank. */
export function promptsPerCall(
  { prompts, samples, completionTokens }: SampledBatch,
  promptTokens: number,
  ranks: number,
): number {
  const fitting = Math.floor(SAMPLED_TOKENS / (samples * (promptTokens + completionTokens)));
  return Math.min(Math.ceil(prompts / ranks), Math.max(1, fitting));
}

/** All that is sampled: rollout batches, and answers of an evaluation. */
export function sampledBatches({ sampled, evaluation, ...rollout }: Workload): SampledBatch[] {
  const answers = evaluation?.answers ?? null;
  return [...(sampled ? [rollout] : []), ...(answers === null ? [] : [answers])];
}
