/**
 * The verbs of a policy without a model: bytes for tokens, scripted completions, counters for weights.
 *
 * @module
 */
import { readFile, writeFile } from "node:fs/promises";
import { createHash } from "node:crypto";
import { join } from "node:path";
import type { Plain, PlainMap, Reply, Tensor, Tensors } from "../bridge/index.js";
import { foldKey, uniform } from "../stats/index.js";

const END = 256;
const IMAGE = 257;
const PATCH = 28;

/** What a scripted completion may depend on. */
export interface FakePrompt {
  /** The prompt's text, image placeholders left out. */
  readonly text: string;
  /** Index of the completion within its group. */
  readonly sample: number;
  /** A uniform number in [0, 1) drawn as the worker draws: the same for the same seed, step and row. */
  readonly draw: number;
  /** Updates applied so far. */
  readonly version: number;
}

export interface FakeVerbsOptions {
  /** Text of a completion. Default: a think block and a score that follows the draw. */
  readonly complete?: (prompt: FakePrompt) => string;
}

export type FakeVerb = (params: PlainMap, tensors: Tensors) => Promise<Reply> | Reply;

const plainReply = (result: PlainMap, tensors: Tensors = {}): Reply => ({ result, tensors });
const integers = (values: readonly number[]): Tensor => ({
  dtype: "i32",
  shape: [values.length],
  data: Int32Array.from(values),
});
const floats = (values: readonly number[]): Tensor => ({
  dtype: "f32",
  shape: [values.length],
  data: Float32Array.from(values),
});

function joined(pieces: readonly (readonly number[])[]): { flat: Tensor; lengths: Tensor } {
  return { flat: integers(pieces.flat()), lengths: integers(pieces.map((piece) => piece.length)) };
}

function cut(flat: Tensor | undefined, lengths: Tensor | undefined): number[][] {
  const values = Array.from((flat?.data ?? []) as Int32Array);
  let at = 0;
  return Array.from((lengths?.data ?? []) as Int32Array, (length) => values.slice(at, (at += length)));
}

const textOf = (ids: readonly number[]): string => Buffer.from(ids.filter((id) => id < END)).toString("utf8");

function textTensors(texts: readonly string[]): Tensors {
  const bytes = texts.map((text) => Buffer.from(text, "utf8"));
  const all = new Uint8Array(Buffer.concat(bytes));
  return {
    text: { dtype: "u8", shape: [all.length], data: all },
    text_lengths: integers(bytes.map((one) => one.length)),
  };
}

function defaultCompletion({ draw }: FakePrompt): string {
  return `<think>fine</think><answer>${(1 + 4 * draw).toFixed(2)}</answer>`;
}

/** The verbs of one fake worker; its only weights are the number of updates and the sum of their losses. */
export function fakeVerbs(options: FakeVerbsOptions = {}): Record<string, FakeVerb> {
  const { complete = defaultCompletion } = options;
  const held = new Set<string>();
  let version = 0;
  let weight = 0;
  let gradient = 0;

  const sumsOf = (tensors: Tensors): PlainMap => {
    const weights = tensors["weights"]!.data as Float32Array;
    const advantages = tensors["advantages"]!.data as Float32Array;
    const loss = weights.reduce((total, value, index) => total - value * advantages[index]!, 0);
    gradient += loss;
    return {
      loss,
      policy_loss: loss,
      kl: 0,
      weighted_kl: 0,
      entropy: weights.length,
      clipped_low: 0,
      clipped_high: 0,
      tokens: weights.length,
      sequences: tensors["completion_lengths"]!.data.length,
      seconds: 0,
    };
  };

  return {
    load: () =>
      plainReply({
        family: "fake",
        device: "none",
        dtype: "float32",
        attention: "none",
        image: { patch_size: PATCH / 2, merge_size: 2, min_pixels: PATCH * PATCH, max_pixels: 1003520 },
        parameters: { total: 1, trainable: 1 },
        versions: { runtime: "fake" },
        threads: 1,
        policy_version: version,
      }),
    describe: () => plainReply({ memory: { rss: 0, peak_rss: 0 } }),
    images: (params, tensors) => {
      const listed = params["images"] as readonly { readonly key: string }[];
      for (const [index, image] of listed.entries()) if (tensors[String(index)] !== undefined) held.add(image.key);
      return plainReply({ missing: listed.filter((image) => !held.has(image.key)).map((image) => image.key) });
    },
    encode: (params) => {
      const prompts = params["prompts"] as readonly PlainMap[];
      const ids = joined(prompts.map(promptIds));
      return plainReply({}, { ids: ids.flat, lengths: ids.lengths });
    },
    tokenize: (params, tensors) => {
      const bytes = Array.from(tensors["text"]!.data as Uint8Array);
      let at = 0;
      const pieces = Array.from(tensors["text_lengths"]!.data as Int32Array, (length) =>
        bytes.slice(at, (at += length)),
      );
      const ids = joined(pieces.map((piece) => (params["append_eos"] === true ? [...piece, END] : piece)));
      return plainReply({}, { ids: ids.flat, lengths: ids.lengths });
    },
    generate: (params, tensors) => {
      const keys = tensors["keys"]!.data as BigInt64Array;
      const prompts = cut(tensors["prompt_ids"], tensors["prompt_lengths"]);
      const samples = Number(params["samples"]);
      const limit = Number(params["max_new_tokens"]);
      const rows = prompts.flatMap((prompt, index) =>
        Array.from({ length: samples }, (_, sample) => {
          const draw = uniform(foldKey(BigInt.asUintN(64, keys[index]!), sample, 0, 0));
          const ids = [...Buffer.from(complete({ text: textOf(prompt), sample, draw, version }), "utf8"), END];
          return { ids: ids.slice(0, limit), finish: ids.length > limit ? 1 : 0 };
        }),
      );
      const tokens = joined(rows.map((row) => row.ids));
      const finish = Uint8Array.from(rows, (row) => row.finish);
      return plainReply(
        { policy_version: version, seconds: 0 },
        {
          tokens: tokens.flat,
          lengths: tokens.lengths,
          logprobs: floats(rows.flatMap((row) => row.ids.map(() => -1))),
          finish: { dtype: "u8", shape: [finish.length], data: finish },
          ...textTensors(rows.map((row) => textOf(row.ids))),
        },
      );
    },
    logprobs: (_params, tensors) =>
      plainReply({}, { logprobs: floats(new Array<number>(tensors["completion_ids"]!.data.length).fill(-1)) }),
    forwardBackward: (_params, tensors) => plainReply(sumsOf(tensors)),
    discard: () => {
      gradient = 0;
      return plainReply({});
    },
    optimStep: (params) => {
      version += 1;
      weight -= Number(params["learning_rate"]) * gradient;
      const gradNorm = Math.abs(gradient);
      gradient = 0;
      return plainReply({ grad_norm: gradNorm, skipped: false, policy_version: version, seconds: 0 });
    },
    save: async (params) => {
      const text = JSON.stringify({ version, weight });
      await writeFile(join(params["path"] as string, "state.json"), text);
      const sha256 = createHash("sha256").update(text).digest("hex");
      return plainReply({ files: [{ name: "state.json", bytes: Buffer.byteLength(text), sha256 }] as Plain });
    },
    restore: async (params) => {
      const state = JSON.parse(await readFile(join(params["path"] as string, "state.json"), "utf8")) as {
        version: number;
        weight: number;
      };
      ({ version, weight } = state);
      return plainReply({ step: version, policy_version: version });
    },
    export: () => plainReply({}),
  };
}

function promptIds(prompt: PlainMap): number[] {
  const sizes = prompt["images"] as readonly (readonly [number, number])[];
  const messages = prompt["messages"] as readonly { readonly content: string | readonly PlainMap[] }[];
  let picture = 0;
  return messages.flatMap(({ content }) => {
    if (typeof content === "string") return [...Buffer.from(content, "utf8")];
    return content.flatMap((part) => {
      if (part["type"] === "text") return [...Buffer.from(part["text"] as string, "utf8")];
      const [height, width] = sizes[picture]!;
      picture += 1;
      return new Array<number>((height / PATCH) * (width / PATCH)).fill(IMAGE);
    });
  });
}
