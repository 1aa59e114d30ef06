/**
 * What the worker's replies must look like. Python's word is not taken for it: every result passes a schema.
 *
 * @module
 */
import { z } from "zod";
import { inspect } from "node:util";
import { BridgeError, WorkerError } from "../errors.js";
import type { Reply } from "../bridge/index.js";
import type { LossSums, ModelDescription } from "./types.js";

const count = z.number().int().nonnegative();

/** Result of `load`. */
export const loadReply = z.object({
  family: z.string(),
  device: z.string(),
  dtype: z.string(),
  attention: z.string(),
  image: z.object({
    patch_size: count,
    merge_size: count,
    min_pixels: count,
    max_pixels: count,
  }),
  parameters: z.object({ total: count, trainable: count }),
  dropout: z.number().min(0).max(1),
  versions: z.record(z.string(), z.string()),
  eos_token_ids: z.array(z.int()),
  cpu_features: z.array(z.string()).default([]),
  threads: count,
  warnings: z.array(z.string()).default([]),
  activation_bytes_per_token: z.int().min(1),
  policy_version: count,
});

/** Result of `images`. */
export const imagesReply = z.object({ missing: z.array(z.string()) });

const seconds = z.union([z.number(), z.record(z.string(), z.number())]).optional();

/** Result of `generate`, besides its tensors. */
export const generateReply = z.object({ policy_version: count, seconds });

/** Infinite or NaN when the loss or the gradient was: such an update is skipped, and that is an answer, not a broken reply. */
const anyNumber = z.custom<number>((value) => typeof value === "number");

/** Result of `forwardBackward`. */
export const forwardBackwardReply = z.object({
  loss: anyNumber,
  policy_loss: anyNumber,
  kl: anyNumber,
  weighted_kl: anyNumber,
  entropy: anyNumber,
  clipped_low: z.number(),
  clipped_high: z.number(),
  tokens: count,
  sequences: count,
  seconds,
});

/** Result of `optimStep`. */
export const optimStepReply = z.object({
  grad_norm: anyNumber,
  skipped: z.boolean(),
  passes: count,
  policy_version: count,
  seconds,
});

/** Result of `save` and `writeSnapshot`. */
export const saveReply = z.object({
  files: z.array(z.object({ name: z.string(), bytes: count, sha256: z.string() })),
});

/** Result of `restore`. */
export const restoreReply = z.object({ step: count, policy_version: count });

/** What is used of the result of `describe`. */
export const describeReply = z.object({ memory: z.object({ rss: count, peak_rss: count }) });

/** The reply's result through its schema. @throws BridgeError WIRE_REPLY naming the method and the field */
export function parseReply<T>(method: string, schema: z.ZodType<T>, reply: Reply): T {
  const parsed = schema.safeParse(reply.result);
  if (parsed.success) return parsed.data;
  const problems = parsed.error.issues.map((issue) => `${issue.path.join(".") || "result"}: ${issue.message}`);
  throw new BridgeError(
    "WIRE_REPLY",
    `the worker's reply to ${method} is not what it should be: ${problems.join("; ")}.`,
    {
      fields: { method },
    },
  );
}

/**
 * What all ranks must answer alike, or they no longer hold the same model.
 *
 * @throws WorkerError RANKS_DIVERGED with every answer
 */
export function requireSame(method: string, answers: readonly unknown[]): void {
  const texts = answers.map((answer) => inspect(answer));
  if (new Set(texts).size <= 1) return;
  throw new WorkerError(
    "RANKS_DIVERGED",
    `the ranks answer ${method} differently: ${texts.map((text, rank) => `rank ${rank} ${text}`).join(", ")}. Their ` +
      "weights or gradients are no longer the same; resume from the last checkpoint, and look for failing hardware or " +
      "different software on the machines.",
    { fields: { method } },
  );
}

/** The worker's description in this program's words. */
export function describeModel(load: z.output<typeof loadReply>, ranks: number): ModelDescription {
  return {
    ranks,
    family: load.family,
    device: load.device,
    dtype: load.dtype,
    attention: load.attention,
    image: {
      patchSize: load.image.patch_size,
      mergeSize: load.image.merge_size,
      minPixels: load.image.min_pixels,
      maxPixels: load.image.max_pixels,
    },
    parameters: load.parameters,
    dropout: load.dropout,
    endTokenIds: load.eos_token_ids,
    versions: load.versions,
    cpuFeatures: load.cpu_features,
    threads: load.threads,
    warnings: load.warnings,
  };
}

/** Sums over nothing. */
export const NO_LOSS: LossSums = {
  loss: 0,
  policyLoss: 0,
  kl: 0,
  weightedKl: 0,
  entropy: 0,
  clippedLow: 0,
  clippedHigh: 0,
  tokens: 0,
  sequences: 0,
};

/** Adds the sums of one more part. */
export function addLoss(sums: LossSums, part: z.output<typeof forwardBackwardReply>): LossSums {
  return {
    loss: sums.loss + part.loss,
    policyLoss: sums.policyLoss + part.policy_loss,
    kl: sums.kl + part.kl,
    weightedKl: sums.weightedKl + part.weighted_kl,
    entropy: sums.entropy + part.entropy,
    clippedLow: sums.clippedLow + part.clipped_low,
    clippedHigh: sums.clippedHigh + part.clipped_high,
    tokens: sums.tokens + part.tokens,
    sequences: sums.sequences + part.sequences,
  };
}

/** Seconds the worker reports for a call: one number or several by phase. */
export function reportedSeconds(reply: Reply): number {
  const value = reply.result["seconds"];
  if (typeof value === "number") return value;
  if (value === null || typeof value !== "object" || Array.isArray(value)) return 0;
  return Object.values(value).reduce((total: number, one) => total + (typeof one === "number" ? one : 0), 0);
}
