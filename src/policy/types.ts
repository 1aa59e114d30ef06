/**
 * The records that flow through a training step, one per station, and the verbs of a policy.
 *
 * The data's way: Row -> Prompt -> RolloutGroup -> (rewards, advantages) -> TrainBatch -> UpdateResult.
 * Legend: P prompts, G completions per prompt, N = sum of G over prompts, T tokens of one completion.
 *
 * @module
 */
import type { CustomLoss, PolicyLoss } from "../losses/index.js";

/** A picture as a prompt refers to it. The worker holds the pixels under `key`. */
export interface ImageReference {
  /** Content hash of the decoded pixels and the target size: identifies what the model will see. */
  readonly key: string;
  /** Size the model sees, multiples of patch size x merge size. */
  readonly height: number;
  readonly width: number;
}

/** A picture ready to be shown to the model. */
export interface Picture {
  /** Content hash and target size in one string. */
  readonly key: string;
  /** Hash of the decoded pixels. */
  readonly hash: string;
  /** Source size in pixels. */
  readonly height: number;
  readonly width: number;
  /** Size the model sees. */
  readonly targetHeight: number;
  readonly targetWidth: number;
  /** RGB, row by row, source size: height * width * 3 bytes. Not to be written to. */
  pixels(): Promise<Uint8Array>;
}

/** Options of `encode`. */
export interface EncodeOptions {
  /**
   * Pins the pictures on the worker until two steps later. Without it they stay as long as there is room
   * (`image_cache_bytes`). Steps only rise.
   */
  readonly step?: number;
  readonly signal?: AbortSignal;
  /** Called with every picture of the rows before it is sent, while its pixels are at hand. */
  readonly onPicture?: (picture: Picture) => void;
}

/** A prompt as token ids, image placeholders already expanded. `row` is the caller's own record, carried along. */
export interface Prompt<R = unknown> {
  readonly row: R;
  readonly tokenIds: Int32Array;
  readonly images: readonly ImageReference[];
  /** Identifies the prompt in random draws: (index of the data file, 1-based line). */
  readonly source: { readonly file: number; readonly line: number };
}

/** Why a completion ended: its end token, the limit of its length, or given up. */
export type FinishReason = "stop" | "length" | "aborted";

/** One sampled answer. */
export interface Completion {
  /** Decoded text without special tokens. */
  readonly text: string;
  /** [T] ids as sampled; the end token is included when the reason is "stop". */
  readonly tokenIds: Int32Array;
  /** [T] log-probabilities under the distribution actually sampled from. */
  readonly logprobs: Float32Array;
  readonly finishReason: FinishReason;
}

/** A prompt with its completions. */
export interface RolloutGroup<R = unknown> {
  readonly prompt: Prompt<R>;
  /** [G] */
  readonly completions: readonly Completion[];
}

/** Keeps the random draws of different purposes apart. */
export type SeedStream = "train" | "eval" | "warmup";

/** Options of `generate`. */
export interface GenerateOptions {
  /** Completions per prompt, G. */
  readonly samples: number;
  /** Step the draws belong to. */
  readonly step: number;
  /** Another number draws the same prompts of the same step otherwise. Default 0. */
  readonly attempt?: number;
  /** Default "train". */
  readonly stream?: SeedStream;
  /** 0 is greedy. Default: the policy's configuration. */
  readonly temperature?: number;
  readonly topP?: number;
  /** 0 is off. */
  readonly topK?: number;
  readonly minP?: number;
  readonly repetitionPenalty?: number;
  readonly maxCompletionLength?: number;
  readonly signal?: AbortSignal;
  /** Tokens decoded so far over all rows, and rows finished. */
  readonly onProgress?: (progress: { readonly tokens: number; readonly finished: number }) => void;
}

/** One completion ready for the loss. */
export interface TrainSequence {
  /** [T] */
  readonly tokenIds: Int32Array;
  /** [T] how good each token was; already carries corrections and masks. */
  readonly advantages: Float32Array;
  /** [T] contains the normaliser over the whole update; 0 leaves a token out. */
  readonly weights: Float32Array;
}

/** The completions of one prompt, ready for the loss. */
export interface TrainGroup {
  readonly promptIds: Int32Array;
  readonly images: readonly ImageReference[];
  /** Position of the first completion in the rollout batch; old and reference log-probabilities are kept by position. */
  readonly firstIndex: number;
  /** [G] */
  readonly sequences: readonly TrainSequence[];
}

/** Everything one optimizer update needs: ids and numbers, no text. */
export interface TrainBatch {
  /** Names the rollout batch, under which the worker keeps old and reference log-probabilities. */
  readonly id: string;
  /** [P] */
  readonly groups: readonly TrainGroup[];
}

/**
 * The generic loss a worker can execute: sum over tokens of w * (surrogate + beta * kl - entropyCoefficient * entropy).
 * What the surrogates are: docs/algorithms.md.
 */
export interface LossSpec extends Omit<PolicyLoss, "surrogate"> {
  readonly surrogate: PolicyLoss["surrogate"] | "nll";
  /** Log-probabilities the ratio is taken against: this forward's own, or those kept for the batch. Default "detach". */
  readonly old?: "detach" | "stored";
}

/** Sums over all tokens of an update; divide by `tokens` or use as they are, weights are inside where it says so. */
export interface LossSums {
  /** The loss itself: weighted sum. */
  readonly loss: number;
  /** Weighted sum of the surrogate part. */
  readonly policyLoss: number;
  /** Sum over tokens of the KL estimator, unweighted; 0 without a reference. */
  readonly kl: number;
  /** Weighted sum of the KL estimator. */
  readonly weightedKl: number;
  /** Sum of the entropy over tokens, in nats. */
  readonly entropy: number;
  /** Tokens where the clipped branch decided, below and above. */
  readonly clippedLow: number;
  readonly clippedHigh: number;
  /** Tokens with weight != 0, and sequences that have any. */
  readonly tokens: number;
  readonly sequences: number;
}

/** Options of `forwardBackward`. */
export interface ForwardBackwardOptions {
  /** Optimizer step (1-based) the gradients are for. Default: the next one. */
  readonly step?: number;
  readonly signal?: AbortSignal;
}

/** Options of `forwardBackward` with a custom loss. */
export interface CustomLossOptions extends ForwardBackwardOptions {
  /** What the loss gets as `old`: a copy of `policy`, or what `logprobs` kept for the batch. Default "detach". */
  readonly old?: "detach" | "stored";
  /**
   * Gives the loss reference log-probabilities; they are computed once per rollout batch. Needs a policy with a frozen
   * copy (`beta` above 0 in its configuration). Default false.
   */
  readonly reference?: boolean;
}

/** Options of `optimStep`. */
export interface OptimStepOptions {
  /** 1-based; must be the last applied step + 1. */
  readonly step: number;
  readonly learningRate: number;
  /** Default: the policy's configuration. */
  readonly maxGradNorm?: number;
}

/** What an optimizer step did. */
export interface UpdateResult {
  /** Before clipping. */
  readonly gradNorm: number;
  /** True when the gradient was not finite and the weights were left alone. */
  readonly skipped: boolean;
}

/** Whose log-probabilities: the weights as they are, or as they were loaded. */
export type LogprobsOf = "policy" | "reference";

/** Options of `logprobs`. */
export interface LogprobsOptions {
  readonly of?: LogprobsOf;
  /** Keep the result for this batch id, as `old` or reference of the loss, built in or custom. Default false. */
  readonly store?: boolean;
  /** Also the entropy of the distribution at every token. Default false. */
  readonly entropy?: boolean;
  readonly signal?: AbortSignal;
}

/** Log-probabilities and entropies of the same tokens. */
export interface LogprobsAndEntropies {
  /** [group][completion][token] */
  readonly logprobs: Float32Array[][];
  /** [group][completion][token] in nats, of the distribution each token is predicted with. */
  readonly entropies: Float32Array[][];
}

/** Options of `candidates`. */
export interface CandidatesOptions {
  /** Divides the logits. Default 1: the model's own distribution. */
  readonly temperature?: number;
  readonly signal?: AbortSignal;
}

/** What a checkpoint turned out to be. Constants come from the checkpoint's own files. */
export interface ModelDescription {
  /** Workers that hold it. */
  readonly ranks: number;
  readonly family: string;
  readonly device: string;
  readonly dtype: string;
  readonly attention: string;
  readonly image: {
    readonly patchSize: number;
    readonly mergeSize: number;
    readonly minPixels: number;
    readonly maxPixels: number;
  };
  readonly parameters: { readonly total: number; readonly trainable: number };
  /** Largest probability with which a module drops values in training; 0: two passes give the same log-probabilities. */
  readonly dropout: number;
  /** Tokens with which a completion ends of itself. */
  readonly endTokenIds: readonly number[];
  readonly versions: Readonly<Record<string, string>>;
  readonly cpuFeatures: readonly string[];
  readonly threads: number;
  /** What should be told of this model on this machine, in plain words; mostly nothing. */
  readonly warnings: readonly string[];
}

/** Where time and bytes went since the policy was opened. */
export interface PolicyUsage {
  /** Seconds in which at least one call to the worker was under way. */
  readonly busySeconds: number;
  /** The part of them in which it was the model that worked: without `encode` and pictures, which run beside it. */
  readonly modelSeconds: number;
  /** Seconds the worker itself reported for its model work; of several workers, their mean. */
  readonly workerSeconds: number;
  readonly bytesSent: number;
  readonly bytesReceived: number;
}

/** Options of `export`. */
export interface ExportOptions {
  /** Add the adapter to what it adapts and write the whole model, in the type of the checkpoint that it adapts. Default false. */
  readonly merge?: boolean;
}

/** File written by `save`, relative to the folder. */
export interface SavedFile {
  readonly name: string;
  readonly bytes: number;
  readonly sha256: string;
}

/** Training state that is being written. */
export interface BegunSave {
  /** Resolves when all files are on the disk; rejects where one of them cannot be written. */
  readonly files: Promise<SavedFile[]>;
}

/** A model that can be sampled from and trained, whatever the number of ranks behind it. */
export interface Policy<R = unknown> extends AsyncDisposable {
  readonly description: ModelDescription;
  /** Number of updates applied so far: the version of the weights. */
  readonly version: number;
  usage(): PolicyUsage;
  /**
   * Most tokens in one part (a pass of the model on completions) since a worker ran out of memory, and the batch was done once
   * more in parts of half the size; null before.
   */
  readonly tokensPerPart: number | null;
  /** Lowers it from the beginning: for a run that goes on. */
  limitParts(tokens: number): void;
  /** Memory of the worker processes together in bytes: resident now and at their peaks. */
  memory(): Promise<{ readonly rss: number; readonly peakRss: number }>;
  encode(rows: readonly R[], options?: EncodeOptions): Promise<Prompt<R>[]>;
  /** Plain text to ids, the end-of-turn token appended on request: for targets of supervised steps. */
  tokenize(texts: readonly string[], options?: { readonly appendEos?: boolean }): Promise<Int32Array[]>;
  /** Ids to text as `generate` gives it: without special tokens. */
  decode(sequences: readonly Int32Array[]): Promise<string[]>;
  generate(prompts: readonly Prompt<R>[], options: GenerateOptions): Promise<RolloutGroup<R>[]>;
  /** [group][completion][token]; with `entropy` in an object, together with the entropies. */
  logprobs(batch: TrainBatch, options: LogprobsOptions & { readonly entropy: true }): Promise<LogprobsAndEntropies>;
  logprobs(batch: TrainBatch, options?: LogprobsOptions & { readonly entropy?: false }): Promise<Float32Array[][]>;
  /**
   * Log-probabilities of the same few tokens wherever a token of a completion is predicted. Each prompt is read once,
   * whatever the number of its completions, and a group's numbers do not depend on the others.
   *
   * @param candidates [C] ids
   * @returns [group][completion][token x C]
   */
  candidates(batch: TrainBatch, candidates: Int32Array, options?: CandidatesOptions): Promise<Float32Array[][]>;
  /** Adds the gradient of the batch's loss. Whatever fails, the gradients of the whole step are dropped. */
  forwardBackward(batch: TrainBatch, loss: LossSpec, options?: ForwardBackwardOptions): Promise<LossSums>;
  /**
   * The same for a loss of one's own: one pass more, for the log-probabilities, and then the exact gradient. Of the sums,
   * `loss` and `policyLoss` are what the loss returned, and tokens count where its derivative is not 0.
   *
   * @throws LossError LOSS_DROPOUT, LOSS_NO_OLD, LOSS_NO_REFERENCE, LOSS_OTHER_BATCH, LOSS_FAILED, LOSS_RESULT,
   *   LOSS_LENGTH, LOSS_NOT_FINITE; LOSS_SHAPE of a formula on the tape
   */
  forwardBackward(batch: TrainBatch, loss: CustomLoss, options?: CustomLossOptions): Promise<LossSums>;
  /** Drops gradients that were accumulated and not applied. */
  discard(): Promise<void>;
  optimStep(options: OptimStepOptions): Promise<UpdateResult>;
  /** Training state (weights, optimizer, step) into an existing folder. */
  save(folder: string): Promise<SavedFile[]>;
  /**
   * The same, of this moment, without waiting for the disk: resolves when the training state is copied into the machine's
   * memory. The copy is written while the policy does other things. One at a time: a save or `restore` waits for it; wait for
   * `files` before `close`, which gives it up.
   */
  beginSave(folder: string): Promise<BegunSave>;
  restore(folder: string): Promise<void>;
  /** A Hugging Face checkpoint folder; of a policy with an adapter the adapter's folder, or with `merge` the whole model. */
  export(folder: string, options?: ExportOptions): Promise<void>;
  close(): Promise<void>;
}
