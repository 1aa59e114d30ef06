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
  /** [P][G][T] multiply the advantages of single tokens: importance corrections, masks. Default: 1 each. */
  readonly factors?: readonly (readonly ArrayLike<number>[])[];
  /** [P][G] true for completions that are left out of the loss; they still count where N is counted. Default: none. */
  readonly truncated?: readonly (readonly boolean[])[];
  /** The name under which the worker already keeps log-probabilities of these completions. Default: a new one. */
  readonly id?: string;
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
 * @throws RangeError when an advantage, a factor or a mark is missing or not a number, or there are more updates than
 *   prompts
 */
export function toTrainBatch(
  groups: readonly CompletedPrompt[],
  advantages: readonly (readonly number[])[],
  options: TrainBatchOptions = {},
): TrainBatch {
  const { normaliser = "grpo", maxCompletionLength, updates = 1, factors, truncated } = options;
  checkShape(groups, advantages, "advantages");
  if (!advantages.flat().every(Number.isFinite)) throw new RangeError("toTrainBatch: an advantage is not finite.");
  if (factors !== undefined) checkFactors(groups, factors);
  if (truncated !== undefined) checkShape(groups, truncated, "truncation marks");
  const prompts = groups.map(({ completions }, prompt) => ({
    lengths: completions.map(({ tokenIds }) => tokenIds.length),
    truncated: truncated?.[prompt] ?? completions.map(() => false),
  }));
  const weights = cutIntoUpdates(prompts, updates).flatMap((own) =>
    tokenWeights(
      own.flatMap(({ lengths }) => lengths),
      {
        normaliser,
        truncated: own.flatMap((prompt) => prompt.truncated),
        ...(maxCompletionLength !== undefined && { maxCompletionLength }),
      },
    ),
  );

  let at = 0;
  return {
    id: options.id ?? randomUUID(),
    groups: groups.map((group, prompt) => {
      const firstIndex = at;
      at += group.completions.length;
      return {
        promptIds: group.prompt.tokenIds,
        images: group.prompt.images,
        firstIndex,
        sequences: group.completions.map(({ tokenIds }, sample) => ({
          tokenIds,
          advantages: Float32Array.from(
            tokenIds,
            (_, token) => advantages[prompt]![sample]! * (factors?.[prompt]![sample]![token] ?? 1),
          ),
          weights: new Float32Array(tokenIds.length).fill(weights[firstIndex + sample]!),
        })),
      };
    }),
  };
}

function checkShape(
  groups: readonly CompletedPrompt[],
  values: readonly { readonly length: number }[],
  what: string,
): void {
  const expected = groups.map((group) => group.completions.length).join(", ");
  const given = values.map((group) => group.length).join(", ");
  if (given !== expected) {
    throw new RangeError(`toTrainBatch: ${what} of shape [${given}] for completions of shape [${expected}].`);
  }
}

function checkFactors(groups: readonly CompletedPrompt[], factors: NonNullable<TrainBatchOptions["factors"]>): void {
  checkShape(groups, factors, "factors");
  groups.forEach(({ completions }, prompt) =>
    completions.forEach(({ tokenIds }, sample) => {
      const own = Array.from(factors[prompt]![sample]!);
      if (own.length !== tokenIds.length || !own.every(Number.isFinite)) {
        throw new RangeError(
          `toTrainBatch: completion ${sample} of prompt ${prompt} has ${tokenIds.length} tokens and needs as many finite ` +
            `factors, not [${own.slice(0, 8).join(", ")}${own.length > 8 ? ", ..." : ""}].`,
        );
      }
    }),
  );
}
