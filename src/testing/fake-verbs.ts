/**
 * The verbs of a policy without a model: bytes for tokens, scripted completions, counters for weights.
 *
 * What a real worker refuses is refused: another version of the weights, steps and parts out of order, pictures that are
 * not there.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { HandlerContext, Plain, PlainMap, Reply, Tensor, Tensors } from "../bridge/index.js";
import { WorkerError } from "../errors.js";
import { joinInt32, split, textTensors } from "../policy/index.js";
import { foldKey, uniform } from "../stats/index.js";
import { createFakePictures } from "./fake-pictures.js";
import { FAKE_PATCH, FAKE_TOKENS, promptTokens, textOf, tokensOf } from "./fake-tokens.js";

/** What a scripted completion may depend on. */
export interface FakePrompt {
  /** The prompt's text, image placeholders left out. */
  readonly text: string;
  /** Index of the completion within its group. */
  readonly sample: number;
  /** A uniform number in [0, 1) drawn as the worker draws: the same for the same seed, step and row; 0.5 when greedy. */
  readonly draw: number;
  /** Updates applied so far. */
  readonly version: number;
  /** 0 is greedy. */
  readonly temperature: number;
}

/** How a fake worker behaves. */
export interface FakeVerbsOptions {
  /** Text of a completion. Default: a think block and a score that follows the draw. */
  readonly complete?: (prompt: FakePrompt) => string;
  /**
   * Probability of the next token's text behind everything so far (prompt and completion, pictures left out), for the
   * verb `candidates`. Default: all tokens are equally likely.
   */
  readonly probability?: (asked: { readonly text: string; readonly next: string }) => number;
  /** Log-probability of a token under the policy as it is trained; under sampling it is -1. Default -1. */
  readonly logprob?: (token: number) => number;
  /** Entropy of the distribution a token was predicted with, in nats. Default 1. */
  readonly entropy?: (token: number) => number;
  /** Tokens of completions for which there is memory: a pass on more of them fails with OUT_OF_MEMORY. Default: any number. */
  readonly memory?: number;
  /** Pictures kept; those that a step pins always are. Default: all. */
  readonly pictures?: number;
}

/** One verb of a fake worker. */
export type FakeVerb = (params: PlainMap, tensors: Tensors, context: HandlerContext) => Promise<Reply> | Reply;

const reply = (result: PlainMap, tensors: Tensors = {}): Reply => ({ result, tensors });
const floats = (data: Float32Array): Tensor => ({ dtype: "f32", shape: [data.length], data });
const integersOf = (tensor: Tensor | undefined): Int32Array => (tensor?.data ?? new Int32Array(0)) as Int32Array;

function defaultCompletion({ draw }: FakePrompt): string {
  return `<think>fine</think><answer>${(1 + 4 * draw).toFixed(2)}</answer>`;
}

/** Gradients of all ranks together, by step. */
export type SharedGradients = Map<number, number>;

/**
 * The verbs of one fake worker; its only weights are the number of updates and the sum of their losses.
 *
 * @param shared the same for workers that train one model
 * @param rank of this worker; as with real ones, the first alone writes what all of them have
 */
export function fakeVerbs(
  options: FakeVerbsOptions = {},
  shared: SharedGradients = new Map(),
  rank = 0,
): Record<string, FakeVerb> {
  const { complete = defaultCompletion, probability = () => 1 / FAKE_TOKENS.vocabulary } = options;
  const { logprob = () => -1, entropy = () => 1, memory = Number.POSITIVE_INFINITY } = options;
  const pictures = createFakePictures(options.pictures);
  /** Completions whose log-probabilities are kept, as "batch:index". */
  const kept = new Set<string>();
  let version = 0;
  let weight = 0;
  let gradient = 0;
  let parts = 0;
  let copy: string | undefined;

  const checkVersion = (params: PlainMap): void => {
    const wanted = Number(params["policy_version"]);
    if (wanted !== version) {
      throw new WorkerError(
        "POLICY_VERSION_MISMATCH",
        `the call is meant for version ${wanted} of the weights; these are version ${version}.`,
      );
    }
  };
  const checkStep = (params: PlainMap): void => {
    const step = Number(params["step"]);
    if (step !== version + 1) {
      throw new WorkerError("STEP_MISMATCH", `step ${step} was sent after step ${version}.`);
    }
  };
  const checkParts = (sent: unknown): void => {
    if (sent !== parts) {
      throw new WorkerError("PART_MISMATCH", `${parts} parts are accumulated, and ${String(sent)} were expected.`);
    }
  };
  const stateText = (): string => JSON.stringify({ version, weight });
  const write = async (params: PlainMap, text: string): Promise<Reply> => {
    if (rank > 0) return reply({ files: [] });
    await writeFile(join(params["path"] as string, "state.json"), text);
    const sha256 = createHash("sha256").update(text).digest("hex");
    return reply({ files: [{ name: "state.json", bytes: Buffer.byteLength(text), sha256 }] as Plain });
  };
  const accumulated = (): number => shared.get(version + 1) ?? 0;
  const add = (loss: number): void => {
    gradient += loss;
    shared.set(version + 1, accumulated() + loss);
    parts += 1;
  };
  const discard = (): void => {
    shared.set(version + 1, accumulated() - gradient);
    gradient = 0;
    parts = 0;
  };
  const keysOf = (params: PlainMap, tensors: Tensors): string[] =>
    Array.from(integersOf(tensors["completion_index"]), (index) => `${params["batch_id"] as string}:${index}`);

  const checkMemory = (tensors: Tensors): void => {
    const { length } = integersOf(tensors["completion_ids"]);
    if (length > memory) throw new WorkerError("OUT_OF_MEMORY", `${length} tokens do not fit, ${memory} would.`);
  };

  const accumulate = (params: PlainMap, tensors: Tensors): PlainMap => {
    checkVersion(params);
    checkStep(params);
    if (params["part"] === 0) discard();
    checkParts(params["part"]);
    pictures.need(params["images"] as string[][]);
    checkMemory(tensors);
    const { old, entropy_coefficient: coefficient } = params["loss"] as {
      readonly old: string | null;
      readonly entropy_coefficient: number | null;
    };
    if (old === "stored" && keysOf(params, tensors).some((key) => !kept.has(key))) {
      throw new WorkerError("OLD_LOGPROBS_MISSING", `batch ${params["batch_id"] as string} has none stored.`);
    }
    const weights = tensors["weights"]!.data as Float32Array;
    const advantages = tensors["advantages"]!.data as Float32Array;
    const policyLoss = weights.reduce((total, value, index) => total - value * advantages[index]!, 0);
    const entropies = Array.from(integersOf(tensors["completion_ids"]), entropy);
    const bonus = weights.reduce((total, value, index) => total + value * entropies[index]!, 0);
    const loss = policyLoss - (coefficient ?? 0) * bonus;
    add(loss);
    const sums = { loss, policy_loss: policyLoss, kl: 0, weighted_kl: 0, clipped_low: 0, clipped_high: 0 };
    const sequences = tensors["completion_lengths"]!.data.length;
    const total = entropies.reduce((sum, one) => sum + one, 0);
    return { ...sums, entropy: total, tokens: weights.length, sequences, seconds: 0 };
  };

  return {
    load: () =>
      reply({
        family: "fake",
        device: "none",
        dtype: "float32",
        attention: "none",
        image: { patch_size: FAKE_PATCH / 2, merge_size: 2, min_pixels: FAKE_PATCH ** 2, max_pixels: 1003520 },
        parameters: { total: 1, trainable: 1 },
        dropout: 0,
        eos_token_ids: [FAKE_TOKENS.end],
        versions: { runtime: "fake" },
        threads: 1,
        activation_bytes_per_token: 1,
        policy_version: version,
      }),
    describe: () => reply({ memory: { rss: 0, peak_rss: 0 } }),
    images: (params, tensors) => reply({ missing: pictures.receive(params, tensors) }),
    encode: (params) => {
      const ids = joinInt32((params["prompts"] as readonly PlainMap[]).map(promptTokens));
      return reply({}, { ids: ids.flat, lengths: ids.lengths });
    },
    tokenize: (params, tensors) => {
      const texts = split(tensors["text"]!.data as Uint8Array, integersOf(tensors["text_lengths"]));
      const ids = joinInt32(
        texts.map((bytes) => tokensOf(Buffer.from(bytes).toString("utf8"), params["append_eos"] === true)),
      );
      return reply({}, { ids: ids.flat, lengths: ids.lengths });
    },
    decode: (_, tensors) => {
      const sequences = split(integersOf(tensors["ids"]), integersOf(tensors["lengths"]));
      return reply({}, textTensors(sequences.map(textOf)));
    },
    generate: (params, tensors, context) => {
      checkVersion(params);
      pictures.need(params["images"] as string[][]);
      const keys = tensors["keys"]!.data as BigInt64Array;
      const limit = Number(params["max_new_tokens"]);
      const temperature = Number(params["temperature"]);
      const prompts = split(integersOf(tensors["prompt_ids"]), integersOf(tensors["prompt_lengths"]));
      const rows = prompts.flatMap((prompt, index) => {
        const text = textOf(prompt);
        return Array.from({ length: Number(params["samples"]) }, (_, sample) => {
          const key = BigInt.asUintN(64, keys[index]!);
          const draw = temperature === 0 ? 0.5 : uniform(foldKey(key, sample, Number(params["attempt"]), 0));
          return tokensOf(complete({ text, sample, draw, version, temperature }), true);
        });
      });
      const tokens = joinInt32(rows.map((ids) => ids.slice(0, limit)));
      const total = tokens.flat.data.length;
      context.progress({ tokens: total, finished: rows.length });
      return reply(
        { policy_version: version, seconds: 0 },
        {
          tokens: tokens.flat,
          lengths: tokens.lengths,
          logprobs: floats(new Float32Array(total).fill(-1)),
          finish: {
            dtype: "u8",
            shape: [rows.length],
            data: Uint8Array.from(rows, (ids) => (ids.length > limit ? 1 : 0)),
          },
          ...textTensors(rows.map((ids) => textOf(ids.slice(0, limit)))),
        },
      );
    },
    logprobs: (params, tensors) => {
      checkVersion(params);
      pictures.need(params["images"] as string[][]);
      checkMemory(tensors);
      if (params["store"] === true) for (const key of keysOf(params, tensors)) kept.add(key);
      const ids = integersOf(tensors["completion_ids"]);
      const own = { logprobs: floats(Float32Array.from(ids, logprob)) };
      if (params["entropy"] !== true) return reply({}, own);
      return reply({}, { ...own, entropy: floats(Float32Array.from(ids, entropy)) });
    },
    candidates: (params, tensors) => {
      checkVersion(params);
      pictures.need(params["images"] as string[][]);
      const candidates = Array.from(integersOf(tensors["candidate_ids"]), (id) => textOf(Int32Array.of(id)));
      const completions = split(integersOf(tensors["completion_ids"]), integersOf(tensors["completion_lengths"]));
      const prompts = split(integersOf(tensors["prompt_ids"]), integersOf(tensors["prompt_lengths"]));
      const ofPrompt = prompts.flatMap((prompt, group) =>
        Array.from({ length: integersOf(tensors["group_sizes"])[group]! }, () => textOf(prompt)),
      );
      const values = completions.flatMap((completion, row) =>
        Array.from(completion, (_, at) => ofPrompt[row]! + textOf(completion.slice(0, at))).flatMap((text) =>
          candidates.map((next) => Math.log(probability({ text, next }))),
        ),
      );
      const shape = [values.length / candidates.length, candidates.length];
      return reply({}, { logprobs: { dtype: "f32", shape, data: Float32Array.from(values) } });
    },
    forwardBackward: (params, tensors) => {
      try {
        return reply(accumulate(params, tensors));
      } catch (error) {
        discard();
        throw error;
      }
    },
    discard: () => {
      discard();
      return reply({});
    },
    optimStep: (params) => {
      checkVersion(params);
      checkStep(params);
      checkParts(params["parts"]);
      const total = accumulated();
      version += 1;
      weight -= Number(params["learning_rate"]) * total;
      gradient = 0;
      parts = 0;
      const result = { grad_norm: Math.abs(total), skipped: false, policy_version: version, passes: 0 };
      return reply({ ...result, seconds: 0 });
    },
    save: (params) => write(params, stateText()),
    snapshot: () => {
      copy = stateText();
      return reply({ step: version, bytes: Buffer.byteLength(copy) });
    },
    writeSnapshot: async (params) => {
      if (copy === undefined) throw new WorkerError("BAD_ARGUMENT", "there is no snapshot to be written.");
      const text = copy;
      copy = undefined;
      return write(params, text);
    },
    restore: async (params) => {
      const state = JSON.parse(await readFile(join(params["path"] as string, "state.json"), "utf8")) as {
        readonly version: number;
        readonly weight: number;
      };
      ({ version, weight } = state);
      discard();
      return reply({ step: version, policy_version: version });
    },
    export: async (params) => {
      if (rank > 0) return reply({});
      await mkdir(params["path"] as string);
      await writeFile(join(params["path"] as string, "weight.json"), JSON.stringify(weight));
      return reply({});
    },
  };
}
