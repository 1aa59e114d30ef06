/**
 * Ragged records to flat tensors and back: what the verbs put on the wire (docs/protocol.md, section 3).
 *
 * @module
 */
import { BridgeError } from "../errors.js";
import type { Plain, PlainMap, Reply, Tensor, Tensors } from "../bridge/index.js";
import type { Completion, FinishReason, ImageReference, LossSpec, Prompt, RolloutGroup, TrainGroup } from "./types.js";

const FINISH_REASONS: readonly FinishReason[] = ["stop", "length", "aborted"];

/** A flat tensor of integers. */
export function int32(values: ArrayLike<number>): Tensor {
  const data = values instanceof Int32Array ? values : Int32Array.from(values);
  return { dtype: "i32", shape: [data.length], data };
}

/** 64-bit keys of random draws, in two's complement. */
export function keyTensor(keys: readonly bigint[]): Tensor {
  return { dtype: "i64", shape: [keys.length], data: BigInt64Array.from(keys, (key) => BigInt.asIntN(64, key)) };
}

/** One flat tensor and the lengths of its pieces. */
export function joinInt32(pieces: readonly Int32Array[]): { flat: Tensor; lengths: Tensor } {
  const flat = fill(new Int32Array(totalLength(pieces)), pieces);
  return { flat: int32(flat), lengths: int32(pieces.map((piece) => piece.length)) };
}

function joinFloat32(pieces: readonly Float32Array[]): Tensor {
  const data = fill(new Float32Array(totalLength(pieces)), pieces);
  return { dtype: "f32", shape: [data.length], data };
}

function totalLength(pieces: readonly { readonly length: number }[]): number {
  return pieces.reduce((total, piece) => total + piece.length, 0);
}

function fill<A extends Int32Array | Float32Array>(target: A, pieces: readonly A[]): A {
  let at = 0;
  for (const piece of pieces) {
    target.set(piece, at);
    at += piece.length;
  }
  return target;
}

/** Texts as one UTF-8 frame and their lengths in bytes. */
export function textTensors(texts: readonly string[]): Tensors {
  const pieces = texts.map((text) => Buffer.from(text, "utf8"));
  const data = new Uint8Array(Buffer.concat(pieces));
  return {
    text: { dtype: "u8", shape: [data.length], data },
    text_lengths: int32(pieces.map((piece) => piece.length)),
  };
}

/** Cuts a flat array into pieces of the given lengths; every element must be used. */
export function split<A extends Int32Array | Float32Array | Uint8Array>(flat: A, lengths: ArrayLike<number>): A[] {
  const pieces: A[] = [];
  let at = 0;
  for (let index = 0; index < lengths.length; index += 1) {
    const length = lengths[index]!;
    if (length < 0) throw new BridgeError("WIRE_RAGGED", `a reply holds the length ${length}.`);
    pieces.push(flat.slice(at, at + length) as A);
    at += length;
  }
  if (at !== flat.length) {
    throw new BridgeError("WIRE_RAGGED", `a reply holds ${flat.length} values, but its lengths add up to ${at}.`);
  }
  return pieces;
}

/** Token ids of a reply, as many sequences as were asked for. */
export function needSequences(reply: Reply, asked: number): Int32Array[] {
  const sequences = split(need(reply, "ids", "i32"), need(reply, "lengths", "i32"));
  if (sequences.length !== asked) {
    throw new BridgeError(
      "WIRE_ROWS",
      `${asked} texts were sent; the worker returned token ids of ${sequences.length}.`,
    );
  }
  return sequences;
}

type Kind = "i32" | "f32" | "u8";
type ArrayOf<K extends Kind> = K extends "i32" ? Int32Array : K extends "f32" ? Float32Array : Uint8Array;

/** A named tensor of a reply, checked for its dtype. */
export function need<K extends Kind>(reply: Reply, name: string, dtype: K): ArrayOf<K> {
  const tensor = reply.tensors[name];
  if (tensor?.dtype !== dtype) {
    const found = tensor === undefined ? "none" : tensor.dtype;
    throw new BridgeError(
      "WIRE_TENSOR",
      `the worker's reply must hold a ${dtype} tensor "${name}"; it holds ${found}.`,
    );
  }
  return tensor.data as ArrayOf<K>;
}

/** A byte order mark at the beginning belongs to the text. */
const DECODER = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Texts of a reply, in order. */
export function needTexts(reply: Reply): string[] {
  return split(need(reply, "text", "u8"), need(reply, "text_lengths", "i32")).map((bytes, row) => {
    try {
      return DECODER.decode(bytes);
    } catch (cause) {
      throw new BridgeError("WIRE_TEXT", `text ${row} of the worker's reply is not UTF-8.`, { cause });
    }
  });
}

/** What the verbs call pictures by. */
export function imageKeys(images: readonly ImageReference[]): string[] {
  return images.map((image) => image.key);
}

/** Prompts as the verbs `generate`, `logprobs` and `forwardBackward` take them. */
export function promptTensors(prompts: readonly { tokenIds: Int32Array }[]): Tensors {
  const ids = joinInt32(prompts.map((prompt) => prompt.tokenIds));
  return { prompt_ids: ids.flat, prompt_lengths: ids.lengths };
}

/** The group batch of docs/protocol.md. */
export function groupBatch(groups: readonly TrainGroup[]): { params: PlainMap; tensors: Tensors } {
  const sequences = groups.flatMap((group) => group.sequences);
  const completions = joinInt32(sequences.map((sequence) => sequence.tokenIds));
  const indices = groups.flatMap((group) => group.sequences.map((_, sample) => group.firstIndex + sample));
  return {
    params: { images: groups.map((group) => imageKeys(group.images)) as Plain },
    tensors: {
      ...promptTensors(groups.map((group) => ({ tokenIds: group.promptIds }))),
      group_sizes: int32(groups.map((group) => group.sequences.length)),
      completion_ids: completions.flat,
      completion_lengths: completions.lengths,
      completion_index: int32(indices),
    },
  };
}

/** A loss as `forwardBackward` takes it. The worker has the defaults: null stands for them. */
export function lossParams(loss: LossSpec): PlainMap {
  return {
    surrogate: loss.surrogate,
    epsilon: loss.epsilon ?? null,
    epsilon_high: loss.epsilonHigh ?? null,
    delta: loss.delta ?? null,
    tau_positive: loss.tauPositive ?? null,
    tau_negative: loss.tauNegative ?? null,
    beta: loss.beta ?? null,
    kl: loss.kl ?? null,
    entropy_coefficient: loss.entropyCoefficient ?? null,
    old: loss.old ?? null,
  };
}

/** Advantage and weight of every token, in the order of the group batch. */
export function lossTensors(groups: readonly TrainGroup[]): Tensors {
  const sequences = groups.flatMap((group) => group.sequences);
  return {
    advantages: joinFloat32(sequences.map((sequence) => sequence.advantages)),
    weights: joinFloat32(sequences.map((sequence) => sequence.weights)),
  };
}

/** Completions of a `generate` reply, in the order of its rows. */
export function completionsOf(reply: Reply): Completion[] {
  const lengths = need(reply, "lengths", "i32");
  const tokenIds = split(need(reply, "tokens", "i32"), lengths);
  const logprobs = split(need(reply, "logprobs", "f32"), lengths);
  const texts = needTexts(reply);
  const finish = need(reply, "finish", "u8");
  if (texts.length !== lengths.length || finish.length !== lengths.length) {
    throw new BridgeError(
      "WIRE_RAGGED",
      `the worker's reply holds ${lengths.length} completions, ${texts.length} texts and ${finish.length} finish codes.`,
    );
  }
  return tokenIds.map((ids, row) => {
    const finishReason = FINISH_REASONS[finish[row]!];
    if (finishReason === undefined) {
      throw new BridgeError(
        "WIRE_FINISH",
        `completion ${row} ended with code ${finish[row]}; known are 0 to ${FINISH_REASONS.length - 1}.`,
      );
    }
    return { text: texts[row]!, tokenIds: ids, logprobs: logprobs[row]!, finishReason };
  });
}

/** Completions regrouped under their prompts; rows are prompt-major. */
export function regroup<R>(
  prompts: readonly Prompt<R>[],
  completions: readonly Completion[],
  samples: number,
): RolloutGroup<R>[] {
  if (completions.length !== prompts.length * samples) {
    throw new BridgeError(
      "WIRE_ROWS",
      `${prompts.length} prompts x ${samples} samples were asked for; the worker returned ${completions.length} rows.`,
    );
  }
  return prompts.map((prompt, index) => ({
    prompt,
    completions: completions.slice(index * samples, (index + 1) * samples),
  }));
}
