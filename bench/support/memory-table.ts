/**
 * The memory plan of the released Qwen2.5-VL sizes, and the cards that another framework publishes for them.
 *
 * @module
 */
import { NOTHING_OFFLOADED, planMemory, releasedArchitecture } from "../../src/config/index.js";
import type { MemoryOptions } from "../../src/config/index.js";

export const GIB = 2 ** 30;

export const SIZES = ["3B", "7B", "32B", "72B"] as const;
export type Size = (typeof SIZES)[number];

/** LoRA as it is where nothing is asked for. */
export const ADAPTER = { rank: 16, targets: null, magnitudes: false, fourBit: false } as const;

/**
 * The paper's recipe on KADID-10k: 8 pictures of 512 x 384 a rank, 6 answers of 256 tokens each, a reference, bfloat16 over
 * float32 weights, gradient checkpointing.
 */
export function kadidUse(size: Size, changes: Partial<MemoryOptions> = {}): MemoryOptions {
  const ranks = changes.ranks ?? 1;
  return {
    architecture: releasedArchitecture(`Qwen/Qwen2.5-VL-${size}-Instruct`)!,
    precision: "bfloat16",
    device: "cuda",
    strategy: "single",
    ranks,
    offload: NOTHING_OFFLOADED,
    adapter: null,
    freezeVision: false,
    gradientCheckpointing: true,
    optimizer: "adamw_torch",
    reference: true,
    generation: "gather",
    work: {
      prompts: 8 * ranks,
      promptsPerUpdate: 8 * ranks,
      samples: 6,
      promptTokens: 420,
      completionTokens: 256,
      imageTokens: 252,
      patches: 1008,
      sampled: true,
      evaluation: null,
      tempered: false,
      tokensPerPass: null,
      completionsPerPass: null,
      pictureBytes: 6125 * 512 * 384 * 3,
      pictureLimit: GIB,
    },
    ...changes,
  };
}

const OPTIMIZER = { optimizer: true, weights: false };
const ALL = { optimizer: true, weights: true };

const WAYS: readonly (readonly [string, Partial<MemoryOptions>])[] = [
  ["single", {}],
  ["single, frozen tower", { freezeVision: true }],
  ["single, 8-bit AdamW", { optimizer: "adamw_bnb_8bit" }],
  ["single, no checkpointing", { gradientCheckpointing: false }],
  ["ddp x 8", { strategy: "ddp", ranks: 8 }],
  ["fsdp2 x 8", { strategy: "fsdp2", ranks: 8 }],
  ["fsdp2 x 8, layer by layer", { strategy: "fsdp2", ranks: 8, generation: "layerwise" }],
  ["fsdp2 x 16", { strategy: "fsdp2", ranks: 16 }],
  ["zero2 x 8", { strategy: "zero2", ranks: 8 }],
  ["zero3 x 8", { strategy: "zero3", ranks: 8 }],
  ["zero3 x 8, layer by layer", { strategy: "zero3", ranks: 8, generation: "layerwise" }],
  ["zero2 x 8, optimizer offloaded", { strategy: "zero2", ranks: 8, offload: OPTIMIZER }],
  ["zero3 x 8, optimizer offloaded", { strategy: "zero3", ranks: 8, offload: OPTIMIZER, generation: "layerwise" }],
  ["zero3 x 8, weights as well", { strategy: "zero3", ranks: 8, offload: ALL, generation: "layerwise" }],
  ["LoRA", { adapter: ADAPTER }],
  ["LoRA, fsdp2 x 2", { adapter: ADAPTER, strategy: "fsdp2", ranks: 2 }],
  ["LoRA, fsdp2 x 8", { adapter: ADAPTER, strategy: "fsdp2", ranks: 8 }],
  ["QLoRA", { adapter: { ...ADAPTER, fourBit: true } }],
];

/** GiB that a rank needs on its device, a row for each way to train. */
export function waysTable(): { readonly header: string[]; readonly rows: string[][] } {
  const rows = WAYS.map(([name, changes]) => [
    name,
    ...SIZES.map((size) => gib(planMemory(kadidUse(size, changes)).needed)),
  ]);
  return { header: ["trained", ...SIZES], rows };
}

/** What EasyR1's README gives as estimated: cards x GB for GRPO. "AMP" has float32 masters, "BF16" has none. */
const PUBLISHED: readonly (readonly [
  string,
  Partial<MemoryOptions>,
  Readonly<Record<Size, readonly [number, number]>>,
])[] = [
  ["all weights, AMP", {}, { "3B": [4, 40], "7B": [8, 40], "32B": [16, 80], "72B": [32, 80] }],
  ["LoRA, AMP", { adapter: ADAPTER }, { "3B": [1, 24], "7B": [2, 32], "32B": [2, 80], "72B": [4, 80] }],
];

/** The published cards, what our worker needs on each, and how many of the same kind it takes. */
export function publishedTable(): { readonly header: string[]; readonly rows: string[][] } {
  const rows = PUBLISHED.flatMap(([name, changes, cells]) =>
    SIZES.map((size) => {
      const [cards, gb] = cells[size];
      const needed = (ranks: number, generation: MemoryOptions["generation"]): number =>
        planMemory(kadidUse(size, { ...changes, ranks, strategy: ranks === 1 ? "single" : "fsdp2", generation }))
          .needed;
      // The worker samples layer by layer where it must.
      const ours = [1, 2, 4, 8, 16, 32, 64].find((ranks) => needed(ranks, "layerwise") <= gb * GIB);
      const theirs = `${cards} x ${gb}`;
      return [
        name,
        size,
        theirs,
        gib(needed(cards, "gather")),
        gib(needed(cards, "layerwise")),
        ours === undefined ? "none" : `${ours} x ${gb}`,
      ];
    }),
  );
  return { header: ["trained", "model", "published", "ours, on as many", "layer by layer", "ours"], rows };
}

function gib(bytes: number): string {
  return (bytes / GIB).toFixed(1);
}
