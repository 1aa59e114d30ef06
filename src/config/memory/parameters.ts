/**
 * How many parameters a model has, and what reads them: counted from its shape, exactly.
 *
 * @module
 */
import type { Architecture, TextShape, VisionShape } from "./architecture.js";

/**
 * Of a part of a model: weights and biases of its matrix products, and all others. Where they are not trained, the former are
 * kept in the type of the computation and the latter in float32.
 */
export interface PartCount {
  readonly products: number;
  readonly others: number;
}

export interface ParameterCounts {
  readonly total: number;
  /** The embedding, and the head where it is the same weight. */
  readonly embedding: number;
  /** 0 where it is the embedding. */
  readonly head: number;
  /** The language model without embedding and head. */
  readonly text: PartCount;
  /** With the projection into the language model. */
  readonly vision: PartCount;
  /** Of one layer of the language model. */
  readonly textLayer: number;
  /** Of one layer of the vision tower. */
  readonly visionLayer: number;
}

export function countParameters({ text, vision }: Architecture): ParameterCounts {
  const embedding = text.vocabulary * text.hiddenSize;
  const head = text.tied ? 0 : embedding;
  const layer = textLayer(text);
  const tower = visionParts(vision, text.hiddenSize);
  const counts = {
    embedding,
    head,
    text: { products: text.layers * layer.products, others: text.layers * layer.others + text.hiddenSize },
    vision: tower.all,
    textLayer: layer.products + layer.others,
    visionLayer: tower.layer.products + tower.layer.others,
  };
  const parts = [counts.text, counts.vision].flatMap(({ products, others }) => [products, others]);
  return { ...counts, total: parts.reduce((sum, part) => sum + part, embedding + head) };
}

/** Inputs and outputs of the linear layers of one layer of the language model, by their names in it. */
function linears(text: TextShape): Readonly<Record<string, readonly [number, number]>> {
  const { hiddenSize: hidden, intermediateSize: wide } = text;
  const keys = keyValueSize(text);
  return {
    "self_attn.q_proj": [hidden, hidden],
    "self_attn.k_proj": [hidden, keys],
    "self_attn.v_proj": [hidden, keys],
    "self_attn.o_proj": [hidden, hidden],
    "mlp.gate_proj": [hidden, wide],
    "mlp.up_proj": [hidden, wide],
    "mlp.down_proj": [wide, hidden],
  };
}

/** Numbers of a token's keys in one layer; its values are as many. */
export function keyValueSize({ hiddenSize, heads, keyValueHeads }: TextShape): number {
  return (hiddenSize / heads) * keyValueHeads;
}

function textLayer(text: TextShape): PartCount {
  const weights = Object.values(linears(text)).reduce((sum, [inputs, outputs]) => sum + inputs * outputs, 0);
  // Query, key and value have a bias.
  return { products: weights + text.hiddenSize + 2 * keyValueSize(text), others: 2 * text.hiddenSize };
}

function visionParts(vision: VisionShape, output: number): { readonly all: PartCount; readonly layer: PartCount } {
  const { width, intermediateSize: wide, gated } = vision;
  const linear = (inputs: number, outputs: number): number => inputs * outputs + outputs;
  const norm = gated ? width : 2 * width;
  const layer = {
    products:
      linear(width, 3 * width) + linear(width, width) + (gated ? 2 : 1) * linear(width, wide) + linear(wide, width),
    others: 2 * norm,
  };
  const merged = width * vision.mergeSize ** 2;
  const ends = vision.patchValues * width + linear(merged, merged) + linear(merged, output);
  const all = { products: vision.depth * layer.products + ends, others: vision.depth * layer.others + norm };
  return { all, layer };
}

/** An adapter of linear layers of the language model. */
export interface AdapterShape {
  readonly rank: number;
  /** Names, as `lora_target_modules` takes them; null: all. */
  readonly targets: readonly string[] | null;
  /** Magnitudes besides (DoRA). */
  readonly magnitudes: boolean;
}

/** What an adapter comes to. */
export interface AdapterCounts {
  readonly parameters: number;
  /** Linear layers that have one. */
  readonly layers: number;
  /** Inputs of these, summed. */
  readonly inputs: number;
  /** The same, where layers that read the same tensor count once, and the attention's output, which is kept anyway, does not. */
  readonly distinctInputs: number;
}

export function countAdapter({ text }: Architecture, { rank, targets, magnitudes }: AdapterShape): AdapterCounts {
  const all = targets === null || targets.includes("all-linear");
  const isNamed = (layer: string): boolean =>
    targets?.some((name) => layer === name || layer.endsWith(`.${name}`)) ?? false;
  const layerLinears = Object.entries(linears(text));
  const counts = { parameters: 0, layers: 0, inputs: 0, distinctInputs: 0 };
  for (let number = 0; number < text.layers; number += 1) {
    const read = new Map<string, number>();
    for (const [name, [inputs, outputs]] of layerLinears) {
      if (!all && !isNamed(`model.language_model.layers.${number}.${name}`)) continue;
      counts.parameters += rank * (inputs + outputs) + (magnitudes ? outputs : 0);
      counts.layers += 1;
      counts.inputs += inputs;
      read.set(READS[name]!, inputs);
    }
    read.delete("attention");
    for (const inputs of read.values()) counts.distinctInputs += inputs;
  }
  return counts;
}

/** Which tensor a linear layer reads. */
const READS: Readonly<Record<string, string>> = {
  "self_attn.q_proj": "first norm",
  "self_attn.k_proj": "first norm",
  "self_attn.v_proj": "first norm",
  "self_attn.o_proj": "attention",
  "mlp.gate_proj": "second norm",
  "mlp.up_proj": "second norm",
  "mlp.down_proj": "product",
};
