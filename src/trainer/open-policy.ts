/**
 * Opens a policy from a configuration: starts the worker, loads the model, and joins pictures and prompts to it.
 *
 * @module
 */
import { availableParallelism } from "node:os";
import { resolve } from "node:path";
import type { Caller, PlainMap } from "../bridge/index.js";
import { awaitWorkers, startWorkers } from "../bridge/index.js";
import { computeDtype, PART_ACTIVATIONS, readDeepSpeed, resolveConfig, trainingStrategy } from "../config/index.js";
import type { ConfigInput, ResolvedConfig, SharedConfig } from "../config/index.js";
import type { Row } from "../data/index.js";
import { createWorkerPolicy } from "../policy/index.js";
import type { Picture, Policy, PolicySettings } from "../policy/index.js";
import { findPython, PACKAGE_VERSION } from "../python/index.js";
import { createPreparer } from "./row-preparer.js";
import { requireSharedFolder } from "./shared-folder.js";

/** The keys with which workers are processes of this machine, whatever machines a run had. */
export const OWN_WORKERS = { worker_address: null, worker_key_file: null } as const;

/** Workers that answer calls: processes in real life, fakes in tests. */
export interface Connection {
  /** By rank. */
  readonly callers: readonly Caller[];
  /** Where ranks that train one model meet; see `RankMeeting`. */
  readonly rendezvous?: string | null;
  close(): Promise<void>;
}

/** Options of `openPolicy`. */
export interface OpenPolicyOptions {
  /** Gives the workers. Default: starts Python processes, `num_processes` of them. */
  readonly connect?: (config: SharedConfig) => Promise<Connection>;
  /** Lines the worker writes to its stderr. Default: kept for error messages only. */
  readonly onStderr?: (line: string) => void;
  /** Sentences about workers of other machines: who has come, was refused, or left. Default: as `onStderr`. */
  readonly onNews?: (sentence: string) => void;
  /** Names of rewards that are not built in; needed only so that the configuration may speak of them. */
  readonly customRewards?: readonly string[];
  /** Gives up starting and loading; rejects with its reason or BRIDGE_CANCELLED. */
  readonly signal?: AbortSignal;
  /**
   * Loads for sampling and scoring only: weights in the precision of the computation, no optimizer, no reference. The
   * worker then refuses `forwardBackward`, `optimStep`, `save` and `restore`. Default false.
   */
  readonly inference?: boolean;
  /** Folders that may be written to, besides the current directory and `output_dir`. Default: none. */
  readonly writable?: readonly string[];
  /** Pictures by the name that rows call them by, as the bytes of a file, where they are no files. Read when needed. */
  readonly pictures?: ReadonlyMap<string, Uint8Array>;
  /**
   * Files of which size and hash are remembered, the last ones: what is in no row twice needs few. Default: all, so that a
   * picture whose pixels the worker holds is not decoded again.
   */
  readonly rememberedPictures?: number;
  /** Shows the model another picture than the row's: for control experiments. Its key and hash must be its own. */
  readonly replacePicture?: (picture: Picture) => Picture;
}

/**
 * Starts a worker, loads `model_name_or_path` into it, and returns the policy. Close it, or use `await using`.
 *
 * What is saved or exported goes into the current directory or `output_dir`, or a folder below them.
 */
export async function openPolicy(
  input: ConfigInput | ResolvedConfig,
  options: OpenPolicyOptions = {},
): Promise<Policy<Row>> {
  const config = resolveConfig(input, { customRewards: options.customRewards ?? [] });
  return openModel(config, {
    ...options,
    reference: config.beta > 0,
    sampling: {
      temperature: config.temperature,
      topP: config.top_p,
      topK: config.top_k,
      minP: config.min_p,
      repetitionPenalty: config.repetition_penalty,
    },
    planner: {
      ...partLimit(config.max_tokens_per_part),
      ...(config.per_device_train_batch_size !== null && { maxSequences: config.per_device_train_batch_size }),
    },
  });
}

/** What bounds a part: so many tokens, or whole groups up to `PART_ACTIVATIONS` where no number is asked for. */
export function partLimit(maxTokens: number | null): Pick<PolicySettings["planner"], "maxTokens" | "partBytes"> {
  return maxTokens === null ? { partBytes: PART_ACTIVATIONS } : { maxTokens };
}

/** What a policy is opened with besides the keys that all tasks share. */
export interface OpenModelOptions
  extends OpenPolicyOptions, Pick<PolicySettings, "planner">, Pick<ModelUse, "reference"> {
  readonly sampling: Pick<PolicySettings, "temperature" | "topP" | "topK" | "minP" | "repetitionPenalty">;
}

/** Starts a worker and loads the model, whatever it is used for. */
export async function openModel(config: SharedConfig, options: OpenModelOptions): Promise<Policy<Row>> {
  const { inference = false, reference } = options;
  const strategy = inference ? "single" : trainingStrategy(config);
  const deepspeed = strategy === "deepspeed" ? await readDeepSpeed(config.deepspeed!, config) : null;
  const connection = await (options.connect?.(config) ?? connectPython(config, options));
  try {
    options.signal?.throwIfAborted();
    const elsewhere = config.worker_address !== null && options.connect === undefined;
    if (elsewhere && !inference) await requireSharedFolder(config.output_dir, connection.callers);
    return await createWorkerPolicy<Row>({
      signal: options.signal,
      callers: connection.callers,
      load: {
        ...loadParameters(config, { inference, reference, writable: options.writable ?? [] }),
        strategy,
        deepspeed: deepspeed as PlainMap | null,
        gather_for_generation: config.ds3_gather_for_generation ?? true,
      },
      ...(strategy !== "single" &&
        connection.rendezvous !== undefined && {
          ranks: { rendezvous: connection.rendezvous, timeout: config.rank_timeout },
        }),
      prepare: createPreparer(config, options),
      settings: {
        ...options.sampling,
        planner: options.planner,
        seed: config.seed,
        maxCompletionLength: config.max_completion_length,
        maxPromptLength: config.max_prompt_length ?? undefined,
        maxGradNorm: config.max_grad_norm,
      },
      close: () => connection.close(),
    });
  } catch (error) {
    await connection.close();
    throw error;
  }
}

/** Starts the Python workers of a configuration, or waits for those of other machines. */
export async function connectPython(
  config: SharedConfig,
  { onStderr, onNews = onStderr, signal }: Pick<OpenPolicyOptions, "onStderr" | "onNews" | "signal"> = {},
): Promise<Connection> {
  const { worker_address: address, worker_key_file: keyFile } = config;
  if (address !== null && keyFile !== null) {
    const joined = await awaitWorkers({
      address,
      keyFile,
      worldSize: config.num_processes,
      runtime: PACKAGE_VERSION,
      waitTimeout: config.worker_wait * 1000,
      silenceTimeout: config.heartbeat_timeout * 1000,
      stallTimeout: config.worker_timeout * 1000,
      // Twice: a save that takes longer than it should is not to be cut off by its workers.
      leaveSigterm: 2 * config.termination_grace * 1000,
      ...(onNews && { onNews }),
      signal,
    });
    return { callers: joined.callers, rendezvous: null, close: () => joined.stop() };
  }
  const { python, pythonPath } = findPython({
    env: config.python_bin === null ? process.env : { ...process.env, PYTHON_BIN: config.python_bin },
    cwd: process.cwd(),
  });
  const group = await startWorkers({
    worldSize: config.num_processes,
    python,
    args: ["-m", "thurstone_runtime"],
    env: { PYTHONPATH: pythonPath },
    ...(onStderr && { onStderr }),
    silenceTimeout: config.heartbeat_timeout * 1000,
    stallTimeout: config.worker_timeout * 1000,
  });
  return { callers: group.callers, rendezvous: group.rendezvous, close: () => group.stop() };
}

interface ModelUse {
  /** For sampling and scoring only. */
  readonly inference: boolean;
  /** Be able to score with the weights as they were loaded, for the KL term. */
  readonly reference: boolean;
  /** Folders that may be written to, besides the usual ones. */
  readonly writable: readonly string[];
}

/** The adapter that is to be trained; what is null follows from the adapter that is loaded, or is the worker's default. */
function adapterParameters(config: SharedConfig): PlainMap {
  return {
    seed: config.seed,
    r: config.lora_r,
    alpha: config.lora_alpha,
    dropout: config.lora_dropout,
    target_modules: config.lora_target_modules,
    use_rslora: config.use_rslora,
    use_dora: config.use_dora,
  };
}

/** What the verb `load` is asked for. */
function loadParameters(config: SharedConfig, { inference, reference, writable }: ModelUse): PlainMap {
  return {
    model: config.model_name_or_path,
    revision: config.model_revision,
    device: config.device,
    torch_dtype: computeDtype(config),
    train: !inference,
    reference: !inference && reference,
    attention: config.attn_implementation,
    gradient_checkpointing: config.gradient_checkpointing,
    activation_offloading: config.activation_offloading,
    // Without training no weight changes, so that features are made once, whatever is asked about a picture.
    freeze_vision: inference || config.freeze_vision_modules,
    optimizer: {
      optim: config.optim,
      beta1: config.adam_beta1,
      beta2: config.adam_beta2,
      epsilon: config.adam_epsilon,
      weight_decay: config.weight_decay,
      // One schedule for both, so their ratio never changes.
      vision_rate: config.vision_learning_rate === null ? 1 : config.vision_learning_rate / config.learning_rate,
    },
    lora: inference || !config.use_peft ? null : adapterParameters(config),
    four_bit: !inference && config.load_in_4bit,
    image_cache_bytes: config.image_cache_bytes,
    allowed_roots: [resolve(config.output_dir), process.cwd(), ...writable],
    threads: workerThreads(config),
    min_pixels: config.min_pixels,
    max_pixels: config.max_pixels,
    deterministic: true,
  };
}

/** Where nothing else is asked for, several workers on one machine share its cores instead of competing for each. */
function workerThreads({
  worker_threads: asked,
  num_processes: ranks,
  worker_address: elsewhere,
}: SharedConfig): number {
  return asked > 0 || ranks === 1 || elsewhere !== null
    ? asked
    : Math.max(1, Math.floor(availableParallelism() / ranks));
}
