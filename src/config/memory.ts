/**
 * An estimate of the worker's memory, made before anything is loaded.
 *
 * @module
 */

/** Bytes of activations of one forward and backward pass where `max_tokens_per_part` does not say how many tokens. */
export const PART_ACTIVATIONS = 2 ** 28;

export interface MemoryFacts {
  /** Parameters of the model. */
  readonly parameters: number;
  /** Parameters that are trained. Default: all. */
  readonly trainable?: number;
  /** An adapter, which is then all that is trained: its parameters, and the bytes per parameter of what it adapts. */
  readonly adapter?: { readonly parameters: number; readonly baseBytes: number };
  /** Whether a frozen copy is kept for the KL term. */
  readonly reference: boolean;
  /** Precision of the computation. */
  readonly dtype: "float32" | "bfloat16";
  /** Shape of the language model; without it activations are unknown. */
  readonly shape?: { readonly hiddenSize: number; readonly layers: number } | undefined;
  /** Tokens of one forward and backward pass; null: whole groups, as many as keep `PART_ACTIVATIONS`. */
  readonly tokensPerPart: number | null;
  readonly gradientCheckpointing: boolean;
}

/** Bytes. */
export interface MemoryEstimate {
  /** Float32 master weights; with an adapter what it adapts, and the adapter in float32. */
  readonly weights: number;
  /** Weights cast for the computation; 0 in float32. */
  readonly castWeights: number;
  readonly gradients: number;
  /** AdamW's two moments. */
  readonly optimizer: number;
  readonly reference: number;
  /** null when the model's shape is unknown. */
  readonly activations: number | null;
  /** Sum of what is known. */
  readonly total: number;
}

/**
 * Tensors of the size tokens x hidden that one layer keeps for its backward pass, attention scores not stored:
 * Korthikanti et al. (arXiv 2205.05198) count 34 bytes per token and hidden unit in 16 bit.
 */
const KEPT_PER_LAYER = 17;

/**
 * With P parameters, T of them trained, b bytes per number in the computation (2 or 4), L layers of size H and S tokens
 * per pass:
 *
 *     weights      4 P                              cast weights  2 P in bfloat16, else 0
 *     gradients    4 T                              optimizer     8 T
 *     reference    b T if beta > 0, else 0 (what is not trained is shared)
 *     activations  17 b S H L, or b S H (L + 17) with gradient checkpointing;
 *                  256 MiB where S is left open, more where a single group is larger
 *
 * With an adapter of A parameters over weights of B bytes: weights B P + 4 A, no cast weights, T = A, no reference.
 *
 * Not counted: logits of the completions, the key-value cache of sampling, the vision tower's activations, the library
 * and device overhead. Take it as a lower bound.
 */
export function estimateMemory(facts: MemoryFacts): MemoryEstimate {
  const { parameters, adapter, shape, tokensPerPart } = facts;
  const trainable = adapter?.parameters ?? facts.trainable ?? parameters;
  const bytes = facts.dtype === "bfloat16" ? 2 : 4;
  const known = {
    weights: adapter === undefined ? 4 * parameters : adapter.baseBytes * parameters + 4 * trainable,
    castWeights: facts.dtype === "bfloat16" && adapter === undefined ? 2 * parameters : 0,
    gradients: 4 * trainable,
    optimizer: 8 * trainable,
    reference: facts.reference && adapter === undefined ? bytes * trainable : 0,
  };
  const kept = (layers: number): number =>
    facts.gradientCheckpointing ? layers + KEPT_PER_LAYER : layers * KEPT_PER_LAYER;
  const activations =
    tokensPerPart === null
      ? PART_ACTIVATIONS
      : shape === undefined
        ? null
        : bytes * tokensPerPart * shape.hiddenSize * kept(shape.layers);
  const total = Object.values(known).reduce((sum, part) => sum + part, activations ?? 0);
  return { ...known, activations, total };
}
