/**
 * From prompts and the answers they should have to a batch for the loss `nll`: every answer token counts the same, over
 * the whole update. The loss is then the mean negative log-likelihood per answer token, as transformers takes it over an
 * accumulated batch (`num_items_in_batch`).
 *
 * @module
 */
import type { TrainBatch } from "../policy/index.js";
import { toTrainBatch } from "./train-batch.js";
import type { CompletedPrompt } from "./train-batch.js";

/** A prompt and the answers it should have. */
export interface AnsweredPrompt {
  readonly prompt: CompletedPrompt["prompt"];
  /** Token ids, end of the turn included; several share the work that the prompt takes. */
  readonly answers: readonly Int32Array[];
}

/**
 * Prompts of the same ids and pictures become one group, in the place of the first.
 *
 * @param examples of one optimizer update
 */
export function toNllBatch(examples: readonly AnsweredPrompt[]): TrainBatch {
  const groups = new Map<string, { prompt: AnsweredPrompt["prompt"]; answers: Int32Array[] }>();
  for (const { prompt, answers } of examples) {
    const key = `${prompt.images.map((image) => image.key).join(" ")}|${prompt.tokenIds.join(" ")}`;
    const same = groups.get(key);
    if (same === undefined) groups.set(key, { prompt, answers: [...answers] });
    else same.answers.push(...answers);
  }
  const completed = [...groups.values()].map(({ prompt, answers }) => ({
    prompt,
    completions: answers.map((tokenIds) => ({ tokenIds })),
  }));
  const ones = completed.map(({ completions }) => completions.map(() => 1));
  return toTrainBatch(completed, ones, { normaliser: "dapo" });
}
