/**
 * The memory estimate: its formula, and the sizes it starts from.
 *
 * @module
 */
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { estimateMemory, readCheckpointSize } from "../../src/config/index.js";

describe("estimateMemory", () => {
  const facts = {
    parameters: 1000,
    reference: true,
    dtype: "bfloat16",
    tokensPerPart: 10,
    gradientCheckpointing: false,
  } as const;

  it("adds up weights, gradients, moments, the reference and activations", () => {
    expect(estimateMemory({ ...facts, shape: { hiddenSize: 8, layers: 3 } })).toEqual({
      weights: 4000,
      castWeights: 2000,
      gradients: 4000,
      optimizer: 8000,
      reference: 2000,
      activations: 2 * 10 * 8 * 3 * 17,
      total: 20000 + 2 * 10 * 8 * 3 * 17,
    });
  });

  it("leaves out what is not there", () => {
    const small = estimateMemory({ ...facts, trainable: 400, reference: false, dtype: "float32" });
    expect(small).toEqual({
      weights: 4000,
      castWeights: 0,
      gradients: 1600,
      optimizer: 3200,
      reference: 0,
      activations: null,
      total: 8800,
    });
  });

  it("counts no copy of what is not trained", () => {
    expect(estimateMemory({ ...facts, trainable: 400 }).reference).toBe(800);
  });

  it("counts an adapter as all that is trained, above weights in the type of the computation, without a reference", () => {
    expect(estimateMemory({ ...facts, adapter: { parameters: 50, baseBytes: 2 } })).toMatchObject({
      weights: 2200,
      castWeights: 0,
      gradients: 200,
      optimizer: 400,
      reference: 0,
    });
  });

  it("keeps one number per layer and token with gradient checkpointing", () => {
    const shape = { hiddenSize: 8, layers: 3 };
    expect(estimateMemory({ ...facts, gradientCheckpointing: true, shape }).activations).toBe(2 * 10 * 8 * (3 + 17));
  });
});

describe("readCheckpointSize", () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(path.join(tmpdir(), "thurstone-checkpoint-"));
  });
  afterAll(() => rm(folder, { recursive: true }));

  async function checkpoint(name: string, files: Record<string, object | Buffer>): Promise<string> {
    const place = path.join(folder, name);
    await mkdir(place);
    for (const [file, content] of Object.entries(files)) {
      await writeFile(path.join(place, file), Buffer.isBuffer(content) ? content : JSON.stringify(content));
    }
    return place;
  }

  /** A safetensors file whose header tells of these tensors. */
  function safetensors(shapes: Record<string, number[]>): Buffer {
    const tensors = Object.entries(shapes).map(([name, shape]) => [
      name,
      { dtype: "F32", shape, data_offsets: [0, 0] },
    ]);
    const header = Buffer.from(JSON.stringify({ __metadata__: { format: "pt" }, ...Object.fromEntries(tensors) }));
    const length = Buffer.alloc(8);
    length.writeBigUInt64LE(BigInt(header.length));
    return Buffer.concat([length, header]);
  }

  it("counts the parameters of one file, scalars and the vision tower included", async () => {
    const place = await checkpoint("one", {
      "model.safetensors": safetensors({
        "model.embed": [10, 4],
        "visual.patch_embed": [3, 2],
        "visual.blocks.0.mlp.up_proj.weight": [2, 1],
        "model.layers.0.mlp.up_proj.weight": [6, 4],
        "model.layers.1.mlp.up_proj.weight": [6, 4],
        scale: [],
      }),
      "config.json": { text_config: { hidden_size: 4, num_hidden_layers: 2 } },
    });
    expect(await readCheckpointSize(place)).toEqual({
      parameters: 97,
      visionParameters: 8,
      linears: { up_proj: 20 },
      shape: { hiddenSize: 4, layers: 2 },
    });
  });

  it("counts the parameters of all files of an index", async () => {
    const place = await checkpoint("several", {
      "model.safetensors.index.json": { weight_map: { a: "1.safetensors", b: "1.safetensors", c: "2.safetensors" } },
      "1.safetensors": safetensors({ a: [5], b: [2, 2] }),
      "2.safetensors": safetensors({ "model.visual.c": [7] }),
      "config.json": { hidden_size: 4, num_hidden_layers: 1 },
    });
    expect(await readCheckpointSize(place)).toEqual({
      parameters: 16,
      visionParameters: 7,
      linears: {},
      shape: { hiddenSize: 4, layers: 1 },
    });
  });

  it("says that it does not know a hub id", async () => {
    expect(await readCheckpointSize("Qwen/Qwen2.5-VL-7B-Instruct")).toBeNull();
  });

  it.each<[string, Record<string, object | Buffer>]>([
    ["shorter than its length field", { "model.safetensors": Buffer.from([1, 2]) }],
    ["with a header that claims more than the file holds", { "model.safetensors": Buffer.alloc(16, 0xff) }],
    ["with a header that is no JSON", { "model.safetensors": Buffer.from([2, 0, 0, 0, 0, 0, 0, 0, 0x7b, 0x7b]) }],
    ["of an index that names a missing one", { "model.safetensors.index.json": { weight_map: { a: "gone" } } }],
  ])("names a damaged file: one %s", async (name, files) => {
    const place = await checkpoint(name, files);
    await expect(readCheckpointSize(place)).rejects.toThrowError(
      expect.objectContaining({ code: "CONFIG_CHECKPOINT" }) as Error,
    );
  });
});
