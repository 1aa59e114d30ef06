/**
 * What a forward pass of the worker keeps for its backward pass, and what it needs in between, per token and per patch.
 *
 * Counted by going through transformers' Qwen2.5-VL layers and the worker's packed attention, operation by operation: a tensor
 * counts where autograd saves it, once per storage. With H the hidden size, I the feed-forward size, K numbers of a token's
 * keys and h heads, a layer keeps in float32, of a token,
 *
 *     two norms 4 H    their outputs 2 H    query, attention output 2 H    keys, values 2 K    log-sum-exp h
 *     feed-forward 4 I
 *
 * Under autocast the residual stream and the norms stay float32, and every linear layer keeps a 16-bit copy of its own of what
 * it reads. Attention scores are never stored.
 *
 * @module
 */
import type { TextShape, VisionShape } from "./architecture.js";
import { keyValueSize } from "./parameters.js";
import type { AdapterCounts } from "./parameters.js";

/** How a pass computes and what it trains. */
export interface PassKind {
  /** Bytes of a number in the matrix products. */
  readonly bytes: 2 | 4;
  /** The adapter that is trained, with its rank; null: all weights are. */
  readonly adapter: (AdapterCounts & { readonly rank: number }) | null;
}

/** Bytes of one token or patch. */
export interface KeptBytes {
  /** Of all layers. */
  readonly layers: number;
  /** Of one of them. */
  readonly layer: number;
  /** Of what a layer reads: all that is kept of it with gradient checkpointing. */
  readonly input: number;
  /** In front of and behind the layers. */
  readonly ends: number;
}

/** Of one token of a packed row. */
export function keptPerToken(text: TextShape, { bytes, adapter }: PassKind): KeptBytes {
  const { hiddenSize: hidden, intermediateSize: wide, heads, layers } = text;
  const keys = keyValueSize(text);
  const attention = bytes * (2 * hidden + 2 * keys) + 4 * heads;
  const read = 2 * 4 * hidden + 8;
  const ends = 3 * 4 * hidden + 8 * (hidden / heads);
  if (adapter === null) {
    // Under autocast query, key, value, gate and up have a copy of their own; in float32 they share the norms' outputs.
    const inputs = bytes === 2 ? 5 * 2 * hidden : 2 * 4 * hidden;
    const layer = read + 2 * 4 * hidden + inputs + attention + 4 * bytes * wide;
    return { layers: layers * layer, layer, input: 4 * hidden, ends };
  }
  const inputs = bytes === 2 ? 2 * adapter.inputs : 4 * adapter.distinctInputs;
  const all = layers * (read + attention + 3 * bytes * wide) + inputs + bytes * adapter.rank * adapter.layers;
  return { layers: all, layer: all / layers, input: 4 * hidden, ends };
}

/** Of one patch in a vision tower that is trained. */
export function keptPerPatch(vision: VisionShape, { bytes }: PassKind): KeptBytes {
  const { width, intermediateSize: wide, heads, depth, gated, patchValues } = vision;
  // The values are a view of what query, key and value were made in, which is therefore kept whole.
  const attention = bytes * 7 * width + 4 * heads;
  const norms = 2 * (gated ? (bytes === 2 ? 6 : 8) : 4) * width;
  const inputs = bytes * (bytes === 2 && gated ? 3 : 2) * width;
  const layer = norms + inputs + attention + bytes * (gated ? 4 : 3) * wide;
  const merger = (gated && bytes === 4 ? 20 : 12) * width;
  return { layers: depth * layer, layer, input: bytes * width, ends: merger + bytes * patchValues };
}

/** Bytes of one token while a pass without gradients is inside a layer. An adapter's part is added to a layer's own. */
export function passingPerToken(
  { hiddenSize: hidden, intermediateSize: wide }: TextShape,
  { bytes, adapter }: PassKind,
): number {
  return 2 * 4 * hidden + bytes * Math.max((adapter === null ? 3 : 5) * wide, 6 * hidden);
}

/** The same of one patch. */
export function passingPerPatch({ width, intermediateSize: wide }: VisionShape, bytes: number): number {
  return 4 * width + bytes * Math.max(3 * wide, 8 * width);
}
