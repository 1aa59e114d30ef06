/**
 * The shape of the model that a configuration names, from its JSON files; no weight is read.
 *
 * @module
 */
import { readFile } from "node:fs/promises";
import path from "node:path";
import { z } from "zod";
import { ConfigError } from "../../errors.js";
import { readArchitecture, releasedArchitecture } from "./architecture.js";
import type { Architecture } from "./architecture.js";

export interface ModelFiles {
  readonly architecture: Architecture;
  /** Pixels that pictures are brought to, unless the configuration says otherwise. */
  readonly minPixels: number;
  readonly maxPixels: number;
  /** Of an adapter whose folder is named; null: the name is that of a model. */
  readonly adapterRank: number | null;
}

/** transformers' own, for a preprocessor_config.json that says nothing. */
const PIXELS = { minPixels: 56 * 56, maxPixels: 28 * 28 * 1280 };
/** What the released checkpoints say. */
const RELEASED_PIXELS = { minPixels: 3136, maxPixels: 12_845_056 };

const size = z.int().min(1).optional();
const preprocessorSchema = z.object({
  min_pixels: size,
  max_pixels: size,
  size: z.object({ shortest_edge: size, longest_edge: size }).partial().optional(),
});
const adapterSchema = z.object({ base_model_name_or_path: z.string().min(1), r: z.int().min(1) });

/**
 * @param name a folder of a checkpoint or of an adapter, or the hub id of a released Qwen2.5-VL
 * @returns null for another hub id, and for a model of another family
 * @throws ConfigError CONFIG_CHECKPOINT when a file there is no JSON, or not what was expected
 */
export async function readModelFiles(name: string): Promise<ModelFiles | null> {
  const adapter = await readJson(path.join(name, "adapter_config.json"), adapterSchema);
  const model = adapter?.base_model_name_or_path ?? name;
  const adapterRank = adapter?.r ?? null;
  const config = await readJson(path.join(model, "config.json"), z.unknown());
  if (config === null) {
    const architecture = releasedArchitecture(model);
    return architecture && { architecture, ...RELEASED_PIXELS, adapterRank };
  }
  const architecture = readArchitecture(config);
  const limits = await readJson(path.join(model, "preprocessor_config.json"), preprocessorSchema);
  return (
    architecture && {
      architecture,
      minPixels: limits?.min_pixels ?? limits?.size?.shortest_edge ?? PIXELS.minPixels,
      maxPixels: limits?.max_pixels ?? limits?.size?.longest_edge ?? PIXELS.maxPixels,
      adapterRank,
    }
  );
}

/** null where there is no such file. */
async function readJson<T>(file: string, schema: z.ZodType<T>): Promise<T | null> {
  let text: string;
  try {
    text = await readFile(file, "utf8");
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "ENOTDIR") return null;
    throw damaged(file, "cannot be read", error);
  }
  try {
    return schema.parse(JSON.parse(text));
  } catch (cause) {
    throw damaged(file, "is damaged: its JSON is not what was expected", cause);
  }
}

function damaged(file: string, what: string, cause: unknown): ConfigError {
  return new ConfigError("CONFIG_CHECKPOINT", `${file} ${what}. Fetch the checkpoint again.`, {
    cause,
    fields: { file },
  });
}
