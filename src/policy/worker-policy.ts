/**
 * A policy whose model lives in a worker process: the verbs of docs/protocol.md behind the `Policy` interface.
 *
 * @module
 */
import { mkdir } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { WorkerError } from "../errors.js";
import type { Caller, Plain, PlainMap } from "../bridge/index.js";
import type { CustomLoss } from "../losses/index.js";
import { foldKey, mix64, seedStreams } from "../stats/index.js";
import { DERIVATIVE_LOSS, differentiate } from "./custom-loss.js";
import { createKeptLogprobs } from "./kept-logprobs.js";
import { createMeteredCaller } from "./meter.js";
import { referenceOf, sendPictures } from "./pictures.js";
import { planParts, planPrompts } from "./planner.js";
import type { PlannerOptions } from "./planner.js";
import * as replies from "./replies.js";
import type {
  CustomLossOptions,
  GenerateOptions,
  LogprobsAndEntropies,
  LogprobsOptions,
  LossSpec,
  LossSums,
  ModelDescription,
  Picture,
  Policy,
  Prompt,
  RolloutGroup,
  TrainBatch,
} from "./types.js";
import {
  completionsOf,
  groupBatch,
  imageKeys,
  int32,
  joinInt32,
  keyTensor,
  lossParams,
  lossTensors,
  need,
  needSequences,
  needTexts,
  promptTensors,
  regroup,
  split,
  textTensors,
} from "./wire.js";

/** A row turned into what the worker needs: chat messages and pictures. */
export interface PreparedPrompt<R> {
  readonly row: R;
  readonly source: { readonly file: number; readonly line: number };
  /** Chat messages; content is a string or a list of text and image parts. */
  readonly messages: readonly Plain[];
  readonly images: readonly Picture[];
}

/** Defaults of the verbs, from the configuration. */
export interface PolicySettings {
  /** Seed of all random draws of the run. */
  readonly seed: number;
  readonly temperature: number;
  readonly topP: number;
  readonly topK: number;
  readonly minP: number;
  readonly repetitionPenalty: number;
  readonly maxCompletionLength: number;
  /** Longest prompt in tokens; a longer one is an error, never cut. Default: the model's own limit. */
  readonly maxPromptLength?: number | undefined;
  /** Gradient norm above which gradients are scaled down; null leaves them. */
  readonly maxGradNorm: number | null;
  /** `partBytes`: bytes of activations that a part keeps for its backward pass, from which `targetTokens` follows. */
  readonly planner: Omit<PlannerOptions, "targetTokens"> & { readonly partBytes?: number };
}

/** What a policy is made of. */
export interface WorkerPolicyOptions<R> {
  readonly caller: Caller;
  /** Parameters of `load`. */
  readonly load: PlainMap;
  readonly prepare: (rows: readonly R[], description: ModelDescription) => Promise<PreparedPrompt<R>[]>;
  readonly settings: PolicySettings;
  /** Ends what is behind the caller. */
  readonly close: () => Promise<void>;
  /** Gives up loading. */
  readonly signal?: AbortSignal | undefined;
}

/** Loads the model and returns its policy. */
export async function createWorkerPolicy<R>(options: WorkerPolicyOptions<R>): Promise<Policy<R>> {
  const { caller, settings } = options;
  const metered = createMeteredCaller(caller);
  const call: Caller["call"] = (...asked) => metered.call(...asked);
  const loaded = replies.parseReply(
    "load",
    replies.loadReply,
    await call("load", options.load, abortable(options.signal)),
  );
  const description = replies.describeModel(loaded);
  const { partBytes, ...limits } = settings.planner;
  const target = partBytes && { targetTokens: Math.max(1, Math.floor(partBytes / loaded.activation_bytes_per_token)) };
  const planner = { ...target, ...limits };
  const kept = createKeptLogprobs();
  let version = loaded.policy_version;
  let parts = 0;

  const policy: Policy<R> = {
    description,
    get version() {
      return version;
    },
    usage: metered.usage,

    async memory() {
      const { memory } = replies.parseReply("describe", replies.describeReply, await call("describe", {}));
      return { rss: memory.rss, peakRss: memory.peak_rss };
    },

    async encode(rows, { step, signal, onPicture } = {}) {
      const prepared = await options.prepare(rows, description);
      const pictures = prepared.flatMap((prompt) => prompt.images);
      if (onPicture) for (const picture of pictures) onPicture(picture);
      await sendPictures({ call }, pictures, { step, signal });
      const reply = await call(
        "encode",
        {
          prompts: prepared.map((prompt) => ({
            messages: prompt.messages,
            images: prompt.images.map((picture) => [picture.targetHeight, picture.targetWidth]),
            prefill: null,
          })),
        },
        abortable(signal),
      );
      const ids = needSequences(reply, prepared.length);
      return prepared.map((prompt, index): Prompt<R> => {
        const tokenIds = ids[index]!;
        const limit = settings.maxPromptLength;
        if (limit !== undefined && tokenIds.length > limit) {
          throw new WorkerError(
            "PROMPT_TOO_LONG",
            `the prompt of line ${prompt.source.line} of data file ${prompt.source.file + 1} has ${tokenIds.length} tokens, ` +
              `max_prompt_length is ${limit}. A prompt with pictures cannot be cut: raise max_prompt_length or lower max_pixels.`,
          );
        }
        return { row: prompt.row, source: prompt.source, tokenIds, images: prompt.images.map(referenceOf) };
      });
    },

    async tokenize(texts, { appendEos = false } = {}) {
      const reply = await call("tokenize", { append_eos: appendEos }, { tensors: textTensors(texts) });
      return needSequences(reply, texts.length);
    },

    async decode(sequences) {
      const { flat, lengths } = joinInt32(sequences);
      return needTexts(await call("decode", {}, { tensors: { ids: flat, lengths } }));
    },

    async generate(prompts, asked) {
      const { samples, step, attempt = 0, stream = "train", signal, onProgress } = asked;
      const groups: RolloutGroup<R>[] = [];
      for (const batch of planPrompts(prompts, samples, asked.maxCompletionLength ?? settings.maxCompletionLength)) {
        const keys = batch.map(({ source }) =>
          foldKey(mix64(BigInt(settings.seed)), seedStreams[stream], step, source.file, source.line),
        );
        const reply = await call(
          "generate",
          {
            policy_version: version,
            samples,
            attempt,
            images: batch.map((prompt) => imageKeys(prompt.images)),
            temperature: asked.temperature ?? settings.temperature,
            top_p: asked.topP ?? settings.topP,
            top_k: asked.topK ?? settings.topK,
            min_p: asked.minP ?? settings.minP,
            repetition_penalty: asked.repetitionPenalty ?? settings.repetitionPenalty,
            max_new_tokens: asked.maxCompletionLength ?? settings.maxCompletionLength,
          },
          {
            tensors: { ...promptTensors(batch), keys: keyTensor(keys) },
            ...abortable(signal),
            ...(onProgress && { onProgress: progressAfter(groups, onProgress) }),
          },
        );
        replies.parseReply("generate", replies.generateReply, reply);
        groups.push(...regroup(batch, completionsOf(reply), samples));
      }
      return groups;
    },

    logprobs,

    async candidates(batch, candidates, { temperature = 1, signal } = {}) {
      const rows: Float32Array[] = [];
      for (const groups of planParts(batch.groups, planner)) {
        const { params, tensors } = groupBatch(groups);
        const reply = await call(
          "candidates",
          { ...params, policy_version: version, temperature },
          { tensors: { ...tensors, candidate_ids: int32(candidates) }, ...abortable(signal) },
        );
        const tokens = groups.flatMap((group) => group.sequences.map((one) => one.tokenIds.length));
        const lengths = tokens.map((count) => count * candidates.length);
        rows.push(...split(need(reply, "logprobs", "f32"), lengths));
      }
      return regroupRows(batch.groups, rows);
    },

    async forwardBackward(batch: TrainBatch, loss: LossSpec | CustomLoss, asked: CustomLossOptions = {}) {
      const { step = version + 1, signal } = asked;
      try {
        if (typeof loss !== "function") return await accumulate(batch, loss, step, signal);
        const own = await differentiate(policy, kept, batch, loss, asked);
        const sums = await accumulate(own.batch, DERIVATIVE_LOSS, step, signal);
        return { ...sums, loss: own.loss, policyLoss: own.loss };
      } catch (error) {
        parts = 0;
        throw await discarded(error, step);
      }
    },

    async discard() {
      parts = 0;
      await call("discard", { step: version + 1 });
    },

    async optimStep({ step, learningRate, maxGradNorm = settings.maxGradNorm ?? undefined }) {
      const reply = await call("optimStep", {
        policy_version: version,
        step,
        parts,
        learning_rate: learningRate,
        max_grad_norm: maxGradNorm ?? null,
      });
      parts = 0;
      const update = replies.parseReply("optimStep", replies.optimStepReply, reply);
      version = update.policy_version;
      return { gradNorm: update.grad_norm, skipped: update.skipped };
    },

    async save(folder) {
      return replies.parseReply("save", replies.saveReply, await call("save", { path: resolve(folder) })).files;
    },

    async restore(folder) {
      version = replies.parseReply(
        "restore",
        replies.restoreReply,
        await call("restore", { path: resolve(folder) }),
      ).policy_version;
      parts = 0;
      kept.clear();
    },

    async export(folder, { merge = false } = {}) {
      const path = resolve(folder);
      await mkdir(dirname(path), { recursive: true });
      await call("export", { path, dtype: "source", merge });
    },

    close: options.close,
    [Symbol.asyncDispose]: options.close,
  };
  return policy;

  async function logprobs(
    batch: TrainBatch,
    options: LogprobsOptions & { readonly entropy: true },
  ): Promise<LogprobsAndEntropies>;
  async function logprobs(
    batch: TrainBatch,
    options?: LogprobsOptions & { readonly entropy?: false },
  ): Promise<Float32Array[][]>;
  async function logprobs(
    batch: TrainBatch,
    { of = "policy", store = false, entropy = false, signal }: LogprobsOptions = {},
  ): Promise<Float32Array[][] | LogprobsAndEntropies> {
    const rows: Float32Array[] = [];
    const entropies: Float32Array[] = [];
    for (const groups of planParts(batch.groups, planner)) {
      const { params, tensors } = groupBatch(groups);
      const reply = await call(
        "logprobs",
        { ...params, ...lossTemperature(settings), policy_version: version, batch_id: batch.id, of, store, entropy },
        { tensors, ...abortable(signal) },
      );
      const lengths = groups.flatMap((group) => group.sequences.map((one) => one.tokenIds.length));
      rows.push(...split(need(reply, "logprobs", "f32"), lengths));
      if (entropy) entropies.push(...split(need(reply, "entropy", "f32"), lengths));
    }
    const found = regroupRows(batch.groups, rows);
    if (store) kept.keep(of, batch, found);
    return entropy ? { logprobs: found, entropies: regroupRows(batch.groups, entropies) } : found;
  }

  /** One forward and backward pass per part; the gradients add up on the worker. */
  async function accumulate(
    batch: TrainBatch,
    loss: LossSpec,
    step: number,
    signal: AbortSignal | undefined,
  ): Promise<LossSums> {
    let sums: LossSums = replies.NO_LOSS;
    for (const groups of planParts(batch.groups, planner)) {
      const { params, tensors } = groupBatch(groups);
      const reply = await call(
        "forwardBackward",
        {
          ...params,
          ...lossTemperature(settings),
          policy_version: version,
          step,
          part: parts,
          batch_id: batch.id,
          loss: lossParams(loss),
          return_logprobs: false,
        },
        { tensors: { ...tensors, ...lossTensors(groups) }, ...abortable(signal) },
      );
      parts += 1;
      sums = replies.addLoss(sums, replies.parseReply("forwardBackward", replies.forwardBackwardReply, reply));
    }
    return sums;
  }

  /** Gradients of a failed step must not survive it; a worker that is gone has none. */
  async function discarded(error: unknown, step: number): Promise<unknown> {
    try {
      await caller.call("discard", { step });
    } catch (second) {
      // A worker that died answers both calls with one and the same error.
      if (error instanceof Error && error.cause === undefined && second !== error) error.cause = second;
    }
    return error;
  }
}

/** One entry per completion, under its group; the planner may have cut groups, and keeps their order. */
function regroupRows<T>(groups: TrainBatch["groups"], rows: readonly T[]): T[][] {
  let at = 0;
  return groups.map((group) => rows.slice(at, (at += group.sequences.length)));
}

function abortable(signal: AbortSignal | undefined): { readonly signal?: AbortSignal } {
  return signal === undefined ? {} : { signal };
}

/** A step may take several calls; progress counts on from those that are done. */
function progressAfter(
  groups: readonly RolloutGroup[],
  onProgress: NonNullable<GenerateOptions["onProgress"]>,
): (progress: PlainMap) => void {
  const done = groups.flatMap((group) => group.completions);
  const tokens = done.reduce((total, completion) => total + completion.tokenIds.length, 0);
  return (progress) =>
    onProgress({ tokens: tokens + Number(progress["tokens"]), finished: done.length + Number(progress["finished"]) });
}

/** Greedy sampling has no temperature of its own: its log-probabilities are those of temperature 1. */
function lossTemperature(settings: PolicySettings): { temperature: number } {
  return { temperature: settings.temperature === 0 ? 1 : settings.temperature };
}
