/**
 * Normalisers as token weights: the loss of an update is one weighted sum over all its tokens, so however it is split
 * into parts, groups or ranks, loss and gradient are the same.
 *
 * @module
 */

import { ConfigError } from "../errors.js";

/**
 * How much a token counts.
 * - `grpo`: every completion the same, 1 / (N length): DeepSeekMath (arXiv 2402.03300).
 * - `dapo`: every token the same, 1 / (sum of lengths): DAPO (arXiv 2503.14476). TRL's `bnpo` over one undivided batch.
 * - `dr_grpo`: every token the same, by a constant, 1 / (N maxCompletionLength): Dr. GRPO (arXiv 2503.20783).
 * - `luspo`: every completion by its length, 1 / N for each token: LUSPO (arXiv 2602.05261).
 */
export type Normaliser = "grpo" | "dapo" | "dr_grpo" | "luspo";

export interface TokenWeightOptions {
  /** Default "grpo". */
  readonly normaliser?: Normaliser;
  /** Tokens a completion may have; `dr_grpo` needs it. */
  readonly maxCompletionLength?: number;
  /** [N] true for completions cut at the limit that shall teach nothing: weight 0. They still count in N, as in TRL. */
  readonly truncated?: readonly boolean[];
}

/**
 * @param lengths [N] tokens of each completion of the whole update, over all ranks and parts
 * @returns [N] the weight of each token of that completion; 0 for one without tokens
 */
export function tokenWeights(lengths: readonly number[], options: TokenWeightOptions = {}): number[] {
  const { normaliser = "grpo", maxCompletionLength, truncated } = options;
  if (truncated !== undefined && truncated.length !== lengths.length) {
    throw new RangeError(`tokenWeights: ${truncated.length} truncation marks for ${lengths.length} completions`);
  }
  const kept = lengths.map((length, index) => (truncated?.[index] === true ? 0 : length));
  const weight = weigher(normaliser, kept, maxCompletionLength);
  return kept.map((length) => (length === 0 ? 0 : weight(length)));
}

function weigher(
  normaliser: Normaliser,
  lengths: readonly number[],
  maxCompletionLength: number | undefined,
): (length: number) => number {
  switch (normaliser) {
    case "grpo":
      return (length) => 1 / (lengths.length * length);
    case "luspo":
      return () => 1 / lengths.length;
    case "dapo": {
      const tokens = lengths.reduce((sum, length) => sum + length, 0);
      return () => 1 / tokens;
    }
    case "dr_grpo": {
      if (maxCompletionLength === undefined || !(maxCompletionLength > 0)) {
        throw new ConfigError(
          "CONFIG_MAX_COMPLETION_LENGTH",
          `dr_grpo divides by the longest completion allowed, and maxCompletionLength is ${maxCompletionLength}: give a positive number of tokens.`,
        );
      }
      return () => 1 / (lengths.length * maxCompletionLength);
    }
  }
}
