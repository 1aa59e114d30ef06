/**
 * The shape of a Qwen2-VL or Qwen2.5-VL model, from its config.json alone.
 *
 * Names and defaults are those of transformers' Qwen2_5_VLConfig and Qwen2VLConfig, the older flat layout included, in
 * which the language model's fields stand at the top.
 *
 * @module
 */
import { z } from "zod";

/** Of the language model. */
export interface TextShape {
  readonly hiddenSize: number;
  readonly intermediateSize: number;
  readonly layers: number;
  readonly heads: number;
  readonly keyValueHeads: number;
  readonly vocabulary: number;
  /** Whether head and embedding are one weight. */
  readonly tied: boolean;
}

/** Of the vision tower. */
export interface VisionShape {
  readonly width: number;
  readonly intermediateSize: number;
  readonly depth: number;
  readonly heads: number;
  /** Numbers of one patch: channels x time x height x width. */
  readonly patchValues: number;
  /** Side of a patch in pixels. */
  readonly patchSize: number;
  /** So many patches on either side become one token. */
  readonly mergeSize: number;
  /** A feed-forward part of three products (Qwen2.5-VL) or of two, and norms without or with a bias. */
  readonly gated: boolean;
}

export interface Architecture {
  readonly text: TextShape;
  readonly vision: VisionShape;
  /** Bytes of a stored weight. */
  readonly storedBytes: 2 | 4;
}

const size = z.int().min(1);

const textSchema = z.object({
  hidden_size: size,
  intermediate_size: size,
  num_hidden_layers: size,
  num_attention_heads: size,
  num_key_value_heads: size.nullish(),
  vocab_size: size,
  tie_word_embeddings: z.boolean().default(false),
});

const sharedVision = {
  depth: size.default(32),
  num_heads: size.default(16),
  in_channels: size.default(3),
  patch_size: size.default(14),
  spatial_merge_size: size.default(2),
  temporal_patch_size: size.default(2),
};
const gatedVisionSchema = z.object({
  ...sharedVision,
  hidden_size: size,
  intermediate_size: size.default(3420),
});
const plainVisionSchema = z.object({ ...sharedVision, embed_dim: size.default(1280), mlp_ratio: size.default(4) });

const configSchema = z.looseObject({
  model_type: z.enum(["qwen2_5_vl", "qwen2_vl"]),
  vision_config: z.looseObject({}),
  text_config: z.looseObject({}).optional(),
  tie_word_embeddings: z.boolean().default(false),
  dtype: z.string().nullish(),
  torch_dtype: z.string().nullish(),
});

/**
 * @param config what config.json holds
 * @returns null for a model of another family, and for one whose config.json leaves a size out
 */
export function readArchitecture(config: unknown): Architecture | null {
  const outer = configSchema.safeParse(config);
  if (!outer.success) return null;
  const { model_type: family, text_config: section, vision_config: vision, ...rest } = outer.data;
  const text = textSchema.safeParse(section?.["hidden_size"] === undefined ? { ...rest, ...section } : section);
  const tower = family === "qwen2_5_vl" ? gatedVision(vision) : plainVision(vision);
  if (!text.success || tower === null) return null;

  const { num_attention_heads: heads } = text.data;
  const stored = rest.dtype ?? rest.torch_dtype ?? section?.["dtype"] ?? section?.["torch_dtype"];
  return {
    text: {
      hiddenSize: text.data.hidden_size,
      intermediateSize: text.data.intermediate_size,
      layers: text.data.num_hidden_layers,
      heads,
      keyValueHeads: text.data.num_key_value_heads ?? heads,
      vocabulary: text.data.vocab_size,
      tied: rest.tie_word_embeddings || text.data.tie_word_embeddings,
    },
    vision: tower,
    storedBytes: stored === "bfloat16" || stored === "float16" ? 2 : 4,
  };
}

function gatedVision(section: unknown): VisionShape | null {
  const { success, data } = gatedVisionSchema.safeParse(section);
  if (!success) return null;
  return { ...sharedShape(data), width: data.hidden_size, intermediateSize: data.intermediate_size, gated: true };
}

function plainVision(section: unknown): VisionShape | null {
  const { success, data } = plainVisionSchema.safeParse(section);
  if (!success) return null;
  const { embed_dim: width, mlp_ratio: ratio } = data;
  return { ...sharedShape(data), width, intermediateSize: width * ratio, gated: false };
}

function sharedShape(
  section: z.output<typeof gatedVisionSchema> | z.output<typeof plainVisionSchema>,
): Omit<VisionShape, "width" | "intermediateSize" | "gated"> {
  const { patch_size: side } = section;
  return {
    depth: section.depth,
    heads: section.num_heads,
    patchValues: section.in_channels * section.temporal_patch_size * side * side,
    patchSize: side,
    mergeSize: section.spatial_merge_size,
  };
}

/** What the released sizes of Qwen2.5-VL differ in: the rest of their config.json is the same. */
const RELEASED: Readonly<Record<string, readonly [TextShape, number]>> = {
  "3b": [text(2048, 11008, 36, 16, 2, 151_936, true), 3420],
  "7b": [text(3584, 18944, 28, 28, 4, 152_064, false), 3420],
  "32b": [text(5120, 27648, 64, 40, 8, 152_064, false), 3456],
  "72b": [text(8192, 29568, 80, 64, 8, 152_064, false), 3456],
};

function text(
  hiddenSize: number,
  intermediateSize: number,
  layers: number,
  heads: number,
  keyValueHeads: number,
  vocabulary: number,
  tied: boolean,
): TextShape {
  return { hiddenSize, intermediateSize, layers, heads, keyValueHeads, vocabulary, tied };
}

/**
 * Of a released checkpoint that is not on this disk.
 *
 * @param name a hub id or another name that ends like one, as Qwen/Qwen2.5-VL-7B-Instruct
 * @returns null for any other
 */
export function releasedArchitecture(name: string): Architecture | null {
  const found = /(?:^|\/)qwen2\.5-vl-(\d+b)(?:-instruct)?$/i.exec(name)?.[1];
  const sizes = RELEASED[found?.toLowerCase() ?? ""];
  if (sizes === undefined) return null;
  const [shape, intermediateSize] = sizes;
  const vision = {
    width: 1280,
    intermediateSize,
    depth: 32,
    heads: 16,
    patchValues: 1176,
    patchSize: 14,
    mergeSize: 2,
  };
  return { text: shape, vision: { ...vision, gated: true }, storedBytes: 2 };
}
