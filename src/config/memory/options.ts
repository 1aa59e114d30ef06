/**
 * What the memory plan is asked, and the parts that it tells apart.
 *
 * @module
 */
import type { PassKind } from "./activations.js";
import { countAdapter } from "./parameters.js";
import type { Workload } from "./passes.js";
import type { ModelUse } from "./storage.js";

export interface MemoryOptions extends ModelUse {
  readonly work: Workload;
  readonly gradientCheckpointing: boolean;
  /** Inputs of layers that compute again are kept in the machine's memory. Default false. */
  readonly activationOffloading?: boolean;
  /** How ranks that hold pieces sample: with all weights put together, or layer by layer, all ranks in step. */
  readonly generation: "gather" | "layerwise";
  /** Checkpoints are written from a copy in the machine's memory, while training goes on. Default false. */
  readonly asyncSave?: boolean;
}

/** What memory is taken for, in the order in which people read it. */
export const MEMORY_PARTS = [
  "weights",
  "cast weights",
  "gradients",
  "optimizer",
  "reference",
  "activations",
  "vision features",
  "logits",
  "keys and values",
  "gathered weights",
  "pictures",
  "copy to be saved",
] as const;

/** Bytes by what they are taken for; 0 where a part is left out. */
export type MemoryParts = Readonly<Partial<Record<(typeof MEMORY_PARTS)[number], number>>>;

/** Of the pictures of so many tokens. */
export function featureBytes({ architecture, precision }: ModelUse, tokens: number): number {
  return tokens * architecture.text.hiddenSize * numberBytes(precision);
}

/** Of a number in the matrix products. */
export function numberBytes(precision: ModelUse["precision"]): 2 | 4 {
  return precision === "bfloat16" ? 2 : 4;
}

/** How passes compute and what they train. */
export function passKind({ adapter, architecture, precision }: MemoryOptions): PassKind {
  return {
    bytes: numberBytes(precision),
    adapter: adapter && { ...countAdapter(architecture, adapter), rank: adapter.rank },
  };
}

/** Whether no rank has all weights. */
export function isSharded({ strategy }: Pick<ModelUse, "strategy">): boolean {
  return strategy === "fsdp2" || strategy === "zero3";
}
