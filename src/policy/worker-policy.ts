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
import { DERIVATIVE_LOSS, differentiate } from "./custom-loss.js";
import { createKeptLogprobs } from "./kept-logprobs.js";
import { createMeteredCallers } from "./meter.js";
import { createPartRunner } from "./parts.js";
import { createPictureCarrier } from "./pictures.js";
import type { PlannerOptions } from "./planner.js";
import { createRankPlanner, spread } from "./rank-planner.js";
import { createRanks } from "./ranks.js";
import type { Rank, RankOptions } from "./ranks.js";
import * as replies from "./replies.js";
import { createSampler, promptTokens } from "./sampling.js";
import type {
  CustomLossOptions,
  LogprobsAndEntropies,
  LogprobsOptions,
  LossSpec,
  LossSums,
  ModelDescription,
  Picture,
  Policy,
  Prompt,
  SavedFile,
  TrainBatch,
  TrainGroup,
} from "./types.js";
import {
  groupBatch,
  int32,
  joinInt32,
  lossParams,
  lossTensors,
  need,
  needSequences,
  needTexts,
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
  /** The workers, by rank. */
  readonly callers: readonly Caller[];
  /** Parameters of `load`, the same for every rank. */
  readonly load: PlainMap;
  /** How ranks that train one model meet. Without it each of them has a model of its own. */
  readonly ranks?: RankMeeting | undefined;
  readonly prepare: (rows: readonly R[], description: ModelDescription) => Promise<PreparedPrompt<R>[]>;
  readonly settings: PolicySettings;
  /** Ends what is behind the callers. */
  readonly close: () => Promise<void>;
  /** Gives up loading. */
  readonly signal?: AbortSignal | undefined;
}

/** Where ranks meet, and how long they wait for each other. */
export interface RankMeeting {
  /** Path of a file that does not exist yet; null: where the workers' own environment says, as under torchrun. */
  readonly rendezvous: string | null;
  /** Seconds that a rank waits for the slowest one. */
  readonly timeout: number;
}

/** Loads the model and returns its policy. */
export async function createWorkerPolicy<R>(options: WorkerPolicyOptions<R>): Promise<Policy<R>> {
  const { settings } = options;
  const metered = createMeteredCallers(options.callers);
  const together = options.ranks;
  const apart = together === undefined || options.load["strategy"] === "ddp";
  const ranks = createRanks(metered.calls, { inStep: !apart });
  const replied = await ranks.each(options.signal, (rank, asked) =>
    rank.call("load", { ...options.load, ranks: rankParameters(rank.number, ranks.count, together) }, asked),
  );
  const loads = replied.map((reply) => replies.parseReply("load", replies.loadReply, reply));
  const loaded = loads[0]!;
  const description = replies.describeModel(loaded, ranks.count);
  const { partBytes, ...limits } = settings.planner;
  const target = partBytes && { targetTokens: Math.max(1, Math.floor(partBytes / loaded.activation_bytes_per_token)) };
  const planner = createRankPlanner(ranks.count, { ...target, ...limits });
  const carrier = createPictureCarrier();
  const eachPart = createPartRunner({
    ranks,
    planner,
    carrier,
    together: together !== undefined,
    apart,
  });
  const kept = createKeptLogprobs();
  let version = loaded.policy_version;
  let parts = 0;
  /** Until what is being written is written, or could not be. */
  let writing: Promise<unknown> = Promise.resolve();

  const policy: Policy<R> = {
    description,
    get version() {
      return version;
    },
    usage: metered.usage,
    get tokensPerPart() {
      return planner.lowered;
    },
    limitParts: (tokens) => planner.lower(tokens),

    async memory() {
      const found = (await ranks.all("describe", {})).map(
        (reply) => replies.parseReply("describe", replies.describeReply, reply).memory,
      );
      const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);
      return { rss: sum(found.map(({ rss }) => rss)), peakRss: sum(found.map(({ peak_rss }) => peak_rss)) };
    },

    async encode(rows, { step, signal, onPicture } = {}) {
      const prepared = await options.prepare(rows, description);
      if (onPicture) for (const { images } of prepared) for (const picture of images) onPicture(picture);
      const reply = await ranks.first.call(
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
      const prompts = prepared.map((prompt, index): Prompt<R> => {
        const tokenIds = ids[index]!;
        checkPromptLength(tokenIds.length, settings.maxPromptLength, prompt.source);
        const images = prompt.images.map((picture) => carrier.refer(picture, step));
        return { row: prompt.row, source: prompt.source, tokenIds, images };
      });
      // To the ranks that will sample; should others train on them, they get them then.
      const shares = spread(prompts.map(promptTokens), ranks.count);
      await ranks.each(signal, (rank, asked) =>
        carrier.bring(
          rank,
          shares[rank.number]!.map((index) => prompts[index]!),
          asked,
        ),
      );
      return prompts;
    },

    async tokenize(texts, { appendEos = false } = {}) {
      const reply = await ranks.first.call("tokenize", { append_eos: appendEos }, { tensors: textTensors(texts) });
      return needSequences(reply, texts.length);
    },

    async decode(sequences) {
      const { flat, lengths } = joinInt32(sequences);
      return needTexts(await ranks.first.call("decode", {}, { tensors: { ids: flat, lengths } }));
    },

    generate: createSampler<R>({ ranks, carrier, settings, together: together !== undefined, version: () => version }),

    logprobs,

    async candidates(batch, candidates, { temperature = 1, signal } = {}) {
      const rows = await eachPart(batch, signal, async (rank, groups, asked) => {
        const { params, tensors } = groupBatch(groups);
        const reply = await rank.call(
          "candidates",
          { ...params, policy_version: version, temperature },
          { tensors: { ...tensors, candidate_ids: int32(candidates) }, ...asked },
        );
        const lengths = tokenCounts(groups).map((count) => count * candidates.length);
        return split(need(reply, "logprobs", "f32"), lengths);
      });
      return rows.perGroup();
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
      await ranks.all("discard", { step: version + 1 });
    },

    async optimStep({ step, learningRate, maxGradNorm = settings.maxGradNorm ?? undefined }) {
      const answers = await ranks.all("optimStep", {
        policy_version: version,
        step,
        parts,
        learning_rate: learningRate,
        max_grad_norm: maxGradNorm ?? null,
      });
      parts = 0;
      const updates = answers.map((reply) => replies.parseReply("optimStep", replies.optimStepReply, reply));
      replies.requireSame(
        "optimStep",
        updates.map(({ grad_norm, skipped, passes }) => ({ grad_norm, skipped, passes })),
      );
      const update = updates[0]!;
      version = update.policy_version;
      return { gradNorm: update.grad_norm, skipped: update.skipped };
    },

    async save(folder) {
      await writing;
      return savedFiles("save", folder);
    },

    async beginSave(folder) {
      await writing;
      await ranks.all("snapshot", {});
      const files = savedFiles("writeSnapshot", folder);
      writing = files.catch(() => undefined);
      return { files };
    },

    async restore(folder) {
      await writing;
      const answers = await ranks.all("restore", { path: resolve(folder) });
      const restored = answers.map((reply) => replies.parseReply("restore", replies.restoreReply, reply));
      replies.requireSame("restore", restored);
      version = restored[0]!.policy_version;
      parts = 0;
      kept.clear();
      planner.clear();
    },

    async export(folder, { merge = false } = {}) {
      const path = resolve(folder);
      await mkdir(dirname(path), { recursive: true });
      const params = { path, dtype: "source", merge };
      if (together === undefined) await ranks.first.call("export", params);
      else await ranks.all("export", params);
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
    const rows = await eachPart(batch, signal, async (rank, groups, asked) => {
      const { params, tensors } = groupBatch(groups);
      const reply = await rank.call(
        "logprobs",
        { ...params, ...lossTemperature(settings), policy_version: version, batch_id: batch.id, of, store, entropy },
        { tensors, ...asked },
      );
      const lengths = tokenCounts(groups);
      const entropies = entropy ? split(need(reply, "entropy", "f32"), lengths) : [];
      return split(need(reply, "logprobs", "f32"), lengths).map((own, row) => ({
        logprobs: own,
        entropies: entropies[row] ?? new Float32Array(),
      }));
    });
    const found = rows.perGroup();
    const chosen = found.map((group) => group.map((row) => row.logprobs));
    if (store) kept.keep(of, batch, chosen);
    return entropy ? { logprobs: chosen, entropies: found.map((group) => group.map((row) => row.entropies)) } : chosen;
  }

  async function savedFiles(method: "save" | "writeSnapshot", folder: string): Promise<SavedFile[]> {
    const answers = await ranks.all(method, { path: resolve(folder) });
    return answers.flatMap((reply) => replies.parseReply(method, replies.saveReply, reply).files);
  }

  /** One forward and backward pass per part; the gradients add up on the workers. */
  async function accumulate(
    batch: TrainBatch,
    loss: LossSpec,
    step: number,
    signal: AbortSignal | undefined,
  ): Promise<LossSums> {
    const before = parts;
    // What earlier calls of the step added is lost with this one's, and is not here to be sent again.
    const undo = before > 0 ? null : async (): Promise<void> => void (await ranks.all("discard", { step }));
    const work = async (rank: Rank, groups: readonly TrainGroup[], asked: RankOptions, pass: number) => {
      const { params, tensors } = groupBatch(groups);
      const reply = await rank.call(
        "forwardBackward",
        {
          ...params,
          ...lossTemperature(settings),
          policy_version: version,
          step,
          part: before + pass,
          batch_id: batch.id,
          loss: lossParams(loss),
          return_logprobs: false,
        },
        { tensors: { ...tensors, ...lossTensors(groups) }, ...asked },
      );
      return [replies.parseReply("forwardBackward", replies.forwardBackwardReply, reply)];
    };
    const answered = await eachPart(batch, signal, work, undo);
    parts += answered.passes;
    return answered.all().reduce(replies.addLoss, replies.NO_LOSS);
  }

  /** Gradients of a failed step must not survive it; a worker that is gone has none, nor one that lost the others. */
  async function discarded(error: unknown, step: number): Promise<unknown> {
    if (ranks.areLost(error)) return error;
    try {
      await Promise.all(options.callers.map((caller) => caller.call("discard", { step })));
    } catch (second) {
      // A worker that died answers both calls with one and the same error.
      if (error instanceof Error && error.cause === undefined && second !== error) error.cause = second;
    }
    return error;
  }
}

function rankParameters(rank: number, count: number, meeting: RankMeeting | undefined): PlainMap | null {
  return meeting === undefined ? null : { rank, world_size: count, ...meeting };
}

/** @throws WorkerError PROMPT_TOO_LONG */
function checkPromptLength(tokens: number, limit: number | undefined, source: PreparedPrompt<unknown>["source"]): void {
  if (limit === undefined || tokens <= limit) return;
  throw new WorkerError(
    "PROMPT_TOO_LONG",
    `the prompt of line ${source.line} of data file ${source.file + 1} has ${tokens} tokens, ` +
      `max_prompt_length is ${limit}. A prompt with pictures cannot be cut: raise max_prompt_length or lower max_pixels.`,
  );
}

function tokenCounts(groups: readonly TrainGroup[]): number[] {
  return groups.flatMap((group) => group.sequences.map(({ tokenIds }) => tokenIds.length));
}

function abortable(signal: AbortSignal | undefined): { readonly signal?: AbortSignal } {
  return signal === undefined ? {} : { signal };
}

/** Greedy sampling has no temperature of its own: its log-probabilities are those of temperature 1. */
function lossTemperature(settings: PolicySettings): { temperature: number } {
  return { temperature: settings.temperature === 0 ? 1 : settings.temperature };
}
