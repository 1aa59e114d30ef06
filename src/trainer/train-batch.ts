/**
 * From scored completions to what the loss needs: ids, advantages and weights. No text any more.
 *
 * @module
 */
import { randomUUID } from "node:crypto";
import { tokenWeights } from "../losses/index.js";
import type { Normaliser } from "../losses/index.js";
import type { RolloutGroup, TrainBatch } from "../policy/index.js";

export interface TrainBatchOptions {
  /** How a token's weight is normalised over the whole update. Default "grpo": 1 / (N * length). */
  readonly normaliser?: Normaliser;
  /** Needed by "dr_grpo": longest completion that sampling allows. */
  readonly maxCompletionLength?: number;
  /** Optimizer updates the batch will be cut into; weights are normalised over each. Default 1. */
  readonly updates?: number;
}

/**
 * @param groups [P] completions as sampled
 * @param advantages [P][G]
 * @returns a batch whose weights add up over the whole update, however it is cut into parts
 */
export function toTrainBatch(
  groups: readonly RolloutGroup[],
  advantages: readonly (readonly number[])[],
  options: TrainBatchOptions = {},
): TrainBatch {
  const { normaliser = "grpo", maxCompletionLength, updates = 1 } = options;
  const perUpdate = Math.ceil(groups.length / updates);
  const weights = Array.from({ length: updates }, (_, update) => {
    const own = groups.slice(update * perUpdate, (update + 1) * perUpdate);
    const lengths = own.flatMap((group) => group.completions.map((completion) => completion.tokenIds.length));
    return tokenWeights(lengths, { normaliser, ...(maxCompletionLength !== undefined && { maxCompletionLength }) });
  }).flat();

  let at = 0;
  return {
    id: randomUUID(),
    groups: groups.map((group, prompt) => {
      const firstIndex = at;
      at += group.completions.length;
      return {
        promptIds: group.prompt.tokenIds,
        images: group.prompt.images,
        firstIndex,
        sequences: group.completions.map(({ tokenIds }, sample) => ({
          tokenIds,
          advantages: new Float32Array(tokenIds.length).fill(advantages[prompt]![sample]!),
          weights: new Float32Array(tokenIds.length).fill(weights[firstIndex + sample]!),
        })),
      };
    }),
  };
}
