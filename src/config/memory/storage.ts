/**
 * What a rank holds of the model whatever it is doing: weights, gradients, optimizer, reference.
 *
 * `single`, `ddp` and `fsdp2` are the worker's. `zero2` and `zero3` follow the arithmetic that DeepSpeed publishes
 * (`estimate_zero2_model_states_mem_needs`, `estimate_zero3_model_states_mem_needs`): weights and gradients in the type of the
 * computation, float32 copies and moments in pieces. Where what is offloaded lies follows the code of the version that we
 * fix (`stage_1_and_2.py`, `stage3.py`, `partition_parameters.py`).
 *
 * @module
 */
import { countAdapter, countParameters } from "./parameters.js";
import type { AdapterShape, PartCount } from "./parameters.js";
import type { Architecture } from "./architecture.js";

/** How a model in training is spread over ranks. */
export type Spreading = "single" | "ddp" | "fsdp2" | "zero2" | "zero3";

/** What ZeRO keeps in the machine's memory instead of the device's. */
export interface Offload {
  /** Float32 weights, gradients and moments (`offload_optimizer`): AdamW steps there. */
  readonly optimizer: boolean;
  /** Pieces of weights in the type of the computation, also of a reference (`offload_param`); stage 3 only. */
  readonly weights: boolean;
}

/** That of every other strategy. */
export const NOTHING_OFFLOADED: Offload = { optimizer: false, weights: false };

export interface ModelUse {
  readonly architecture: Architecture;
  /** A CPU has one memory, in which nothing moves. */
  readonly device: "cpu" | "cuda";
  /** Of the matrix products. Weights that are trained are float32 in any case. */
  readonly precision: "float32" | "bfloat16";
  readonly strategy: Spreading;
  readonly ranks: number;
  /** Read by `zero2` and `zero3` alone. */
  readonly offload: Offload;
  /** An adapter of the language model, which is then all that is trained; null: the model itself is. */
  readonly adapter: (AdapterShape & { readonly fourBit: boolean }) | null;
  readonly freezeVision: boolean;
  readonly optimizer: "adamw_torch" | "adamw_bnb_8bit";
  /** Whether the weights as they were loaded are scored as well. */
  readonly reference: boolean;
}

/** Bytes on the device, but for `offloaded`. */
export interface Storage {
  readonly weights: number;
  readonly gradients: number;
  readonly optimizer: number;
  readonly reference: number;
  /** Weights cast for the computation, all at once. */
  readonly cast: number;
  /** All weights, put together on one rank to sample from: those that only products read in the type of the computation. */
  readonly gathered: number;
  /** What stays together for the length of a pass: embedding and head. */
  readonly root: number;
  /** Layers that are put together ahead and worked with, and their gradients. */
  readonly layers: number;
  /** Of the embedding or head: its gradient in float32, 0 where it is not trained. */
  readonly headGradient: number;
  /** Gradients of the vision tower, part of `gradients`. */
  readonly visionGradients: number;
  /** This rank's part of a checkpoint: weights that are trained, and their moments. */
  readonly saved: number;
  /** In the machine's memory. */
  readonly offloaded: number;
}

/** NF4 in blocks of 64 with an 8-bit scale each, which have a float32 scale per 256 (QLoRA, arXiv 2305.14314). */
const FOUR_BIT = 0.5 + 1 / 64 + 4 / (64 * 256);

/** Bytes of state per trained parameter: float32 moments, or 8 bits with a float32 scale per 256 (arXiv 2110.02861). */
const STATE_BYTES = { adamw_torch: 2 * 4, adamw_bnb_8bit: 2 * (1 + 4 / 256) } as const;

/** DeepSpeed's own margin for buffers in the machine's memory. */
const OFFLOAD_BUFFERS = 1.5;

/** A layer that is worked with, the next one, and the buffer that pieces arrive in. */
const LAYERS_TOGETHER = 3;

export function storageOf(use: ModelUse): Storage {
  const { architecture, strategy, ranks, adapter, reference } = use;
  const counts = countParameters(architecture);
  const bytes = use.precision === "bfloat16" ? 2 : 4;
  const deepspeed = strategy === "zero2" || strategy === "zero3";
  const part = (split: boolean): number => (split ? 1 / ranks : 1);
  const sharded = strategy === "fsdp2" || strategy === "zero3";

  const vision = counts.vision.products + counts.vision.others;
  const frozenVision = use.freezeVision || adapter !== null;
  const trained =
    adapter === null ? counts.total - (frozenVision ? vision : 0) : countAdapter(architecture, adapter).parameters;
  const frozenBytes = (share: PartCount, products: number): number => products * share.products + 4 * share.others;
  // A weight that only matrix products read is kept in their type, all others in float32.
  const ends = 4 * counts.embedding + bytes * counts.head;
  const copy = frozenBytes(counts.text, bytes) + ends;
  const base = frozenBytes(counts.text, adapter?.fourBit ? FOUR_BIT : bytes) + ends + frozenBytes(counts.vision, bytes);
  const own = deepspeed ? bytes * counts.total : 4 * counts.total;
  const whole = adapter === null ? own : base + 4 * trained;
  // Also where the computation is in float32: DeepSpeed copies the weights in any case.
  const masters = deepspeed && adapter === null ? 4 * trained * part(true) : 0;

  const headTrained = adapter === null;
  const castHead = counts.head === 0 || headTrained ? counts.embedding : 0;
  const products = adapter === null ? counts.text.products + (frozenVision ? 0 : counts.vision.products) : trained;
  const copied = adapter === null && reference;
  const referenceWhole = copied ? copy + (frozenVision ? 0 : frozenBytes(counts.vision, bytes)) : 0;
  const gradientBytes = (strategy === "zero2" ? bytes : 0) + 4 * part(sharded || deepspeed);
  // A head that is the embedding is there twice, as the latter is read in float32.
  const tiedHead = bytes === 2 && counts.head === 0 ? 2 * counts.embedding : 0;
  const multiplied = adapter === null ? copy + frozenBytes(counts.vision, bytes) : whole;
  const layer = counts.textLayer * (adapter === null ? (deepspeed ? bytes : 4) : bytes);
  return withOffload(
    use,
    { masters, gradients: 4 * trained * part(true) },
    {
      weights: whole * part(sharded) + masters,
      gradients: trained * gradientBytes,
      optimizer: trained * STATE_BYTES[use.optimizer] * part(sharded || deepspeed),
      reference: referenceWhole * part(sharded),
      cast: bytes === 2 && !deepspeed ? 2 * (products + castHead) : 0,
      gathered: deepspeed ? whole : multiplied + tiedHead,
      root: adapter === null ? (deepspeed ? bytes : 4) * (counts.embedding + counts.head) : ends,
      layers: LAYERS_TOGETHER * layer + (adapter === null ? 2 * layer : 0),
      headGradient: headTrained ? 4 * counts.embedding : 0,
      visionGradients: frozenVision ? 0 : vision * gradientBytes,
      saved: (trained * (4 + STATE_BYTES[use.optimizer])) / ranks,
      offloaded: 0,
    },
  );
}

/**
 * @param inPieces float32 weights, which are part of `held.weights`, and gradients: what a rank's part of the optimizer works
 *   with
 */
function withOffload(
  { strategy, offload, device }: ModelUse,
  inPieces: { readonly masters: number; readonly gradients: number },
  held: Storage,
): Storage {
  if (device === "cpu") return held;
  const optimizer = offload.optimizer && (strategy === "zero2" || strategy === "zero3");
  const weights = offload.weights && strategy === "zero3";
  const { masters, gradients } = inPieces;
  const pieces = held.weights - masters;
  const moved = (weights ? pieces + held.reference : 0) + (optimizer ? masters + gradients + held.optimizer : 0);
  return {
    ...held,
    weights: (weights ? 0 : pieces) + (optimizer ? 0 : masters),
    ...(weights && { reference: 0 }),
    // They leave bucket by bucket, as they are made.
    ...(optimizer && { gradients: 0, visionGradients: 0, optimizer: 0 }),
    offloaded: moved * OFFLOAD_BUFFERS,
  };
}
