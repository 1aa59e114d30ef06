/**
 * Counted parameters against those of real models (test/golden/make_parameter_counts.py).
 *
 * @module
 */
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { countAdapter, countParameters, readArchitecture, releasedArchitecture } from "../../../src/config/index.js";

interface Golden {
  readonly config: unknown;
  readonly total: number;
  readonly embedding: number;
  readonly head: number;
  readonly text_products: number;
  readonly text_others: number;
  readonly vision_products: number;
  readonly vision_others: number;
  readonly text_layer: number;
  readonly vision_layer: number;
  readonly linears: Readonly<Record<string, readonly [number, number]>>;
}

const file = new URL("../../golden/parameter_counts_golden.json", import.meta.url);
const golden = Object.entries(JSON.parse(readFileSync(file, "utf8")) as Record<string, Golden>);

describe.each(golden)("%s", (_name, counted) => {
  const architecture = readArchitecture(counted.config)!;

  it("has the parameters of the real model, part by part", () => {
    expect(countParameters(architecture)).toEqual({
      total: counted.total,
      embedding: counted.embedding,
      head: counted.head,
      text: { products: counted.text_products, others: counted.text_others },
      vision: { products: counted.vision_products, others: counted.vision_others },
      textLayer: counted.text_layer,
      visionLayer: counted.vision_layer,
    });
  });

  it("has adapters of rank x (inputs + outputs) in every layer", () => {
    const { layers } = architecture.text;
    const ends = Object.values(counted.linears).map(([inputs, outputs]) => inputs + outputs);
    const all = { rank: 8, targets: null, magnitudes: false };
    expect(countAdapter(architecture, all).parameters).toBe(8 * layers * ends.reduce((total, one) => total + one, 0));
    const [queryIn, queryOut] = counted.linears["q_proj"]!;
    const some = { rank: 8, targets: ["q_proj", "layers.0.self_attn.v_proj"], magnitudes: true };
    const [valueIn, valueOut] = counted.linears["v_proj"]!;
    expect(countAdapter(architecture, some).parameters).toBe(
      layers * (8 * (queryIn + queryOut) + queryOut) + 8 * (valueIn + valueOut) + valueOut,
    );
  });
});

it.each(golden.filter(([name]) => /-\d+B$/.test(name)))("knows %s by its name", (name, { config }) => {
  expect(releasedArchitecture(`Qwen/${name}-Instruct`)).toEqual(readArchitecture(config));
});

it("knows no other model by its name, nor one of another family by its configuration", () => {
  expect(releasedArchitecture("Qwen/Qwen2.5-VL-8B-Instruct")).toBeNull();
  expect(releasedArchitecture("Qwen/Qwen2.5-7B-Instruct")).toBeNull();
  expect(readArchitecture({ model_type: "internvl", vision_config: {} })).toBeNull();
  expect(readArchitecture({ model_type: "qwen2_5_vl", vision_config: { hidden_size: 8 } })).toBeNull();
});
