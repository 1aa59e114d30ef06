/**
 * From scored completions to what the loss needs: ids, advantages and weights. No text any more.
 *
 * @module
 */
import { randomUUID } from "node:crypto";
import { tokenWeights } from "../losses/index.js";
import type { Normaliser } from "../losses/index.js";
import { cutIntoUpdates } from "../policy/index.js";
import type { Completion, Prompt, TrainBatch } from "../policy/index.js";

/** Options of `toTrainBatch`. */
export interface TrainBatchOptions {
  /** How a token's weight is normalised over the whole update. Default "grpo": 1 / (N * length). */
  readonly normaliser?: Normaliser;
  /** Needed by "dr_grpo": longest completion that sampling allows. */
  readonly maxCompletionLength?: number;
  /** Optimizer updates that `splitUpdates` will cut the batch into; weights are normalised over each. Default 1. */
  readonly updates?: number;
}

/** What is needed of a prompt and its completions; a `RolloutGroup` is one. */
export interface CompletedPrompt {
  readonly prompt: Pick<Prompt, "tokenIds" | "images">;
  readonly completions: readonly Pick<Completion, "tokenIds">[];
}

/**
 * @param groups [P] completions as sampled
 * @param advantages [P][G]
 * @returns a batch whose weights add up over the whole update, however it is cut into parts
 * @throws RangeError when an advantage is missing or not a number, or there are more updates than prompts
 */
export function toTrainBatch(
  groups: readonly CompletedPrompt[],
  advantages: readonly (readonly number[])[],
  options: TrainBatchOptions = {},
): TrainBatch {
  const { normaliser = "grpo", maxCompletionLength, updates = 1 } = options;
  checkShape(groups, advantages);
  const weights = cutIntoUpdates(groups, updates).flatMap((own) => {
    const lengths = own.flatMap((group) => group.completions.map((completion) => completion.tokenIds.length));
    return tokenWeights(lengths, { normaliser, ...(maxCompletionLength !== undefined && { maxCompletionLength }) });
  });

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

function checkShape(groups: readonly CompletedPrompt[], advantages: readonly (readonly number[])[]): void {
  const expected = groups.map((group) => group.completions.length).join(", ");
  const given = advantages.map((group) => group.length).join(", ");
  if (given !== expected) {
    throw new RangeError(`toTrainBatch: advantages of shape [${given}] for completions of shape [${expected}].`);
  }
  if (!advantages.flat().every(Number.isFinite)) throw new RangeError("toTrainBatch: an advantage is not finite.");
}
