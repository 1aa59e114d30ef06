/**
 * How large a local Hugging Face checkpoint is, read from the headers of its safetensors files; no weight is read.
 *
 * A safetensors file starts with 8 bytes, the length of a JSON header as a little-endian integer, then the header:
 * tensor names with dtype, shape and place. A checkpoint in several files has an index with the names of the files.
 *
 * @module
 */
import { access, open, readFile } from "node:fs/promises";
import path from "node:path";
import { z } from "zod";
import { ConfigError } from "../errors.js";

export interface CheckpointSize {
  /** Parameters stored; tied ones are stored once. */
  readonly parameters: number;
  /** Of these, parameters of the vision tower. */
  readonly visionParameters: number;
  /**
   * Of the linear layers of the language model, by the last part of their names: inputs plus outputs, summed. Times the rank
   * that is the size of their adapters.
   */
  readonly linears: Readonly<Record<string, number>>;
  /** Shape of the language model; undefined when config.json does not say. */
  readonly shape: { readonly hiddenSize: number; readonly layers: number } | undefined;
}

/** Limit of the safetensors format itself. */
const MAX_HEADER_BYTES = 100_000_000;

const headerSchema = z.record(
  z.string(),
  z.union([z.object({ shape: z.array(z.int().min(0)) }), z.record(z.string(), z.string())]),
);
const indexSchema = z.object({ weight_map: z.record(z.string(), z.string()) });
const shapeSchema = z.object({ hidden_size: z.int().min(1), num_hidden_layers: z.int().min(1) });

/**
 * @param folder a checkpoint folder
 * @returns null when there are no safetensors files there, for example because the name is a hub id
 * @throws ConfigError CONFIG_CHECKPOINT when a file there is damaged
 */
export async function readCheckpointSize(folder: string): Promise<CheckpointSize | null> {
  const files = await weightFiles(folder);
  if (files.length === 0) return null;
  const tensors = (await Promise.all(files.map((file) => readHeader(path.join(folder, file))))).flat();
  const count = (chosen: typeof tensors): number =>
    chosen.reduce((total, { shape }) => total + shape.reduce((product, extent) => product * extent, 1), 0);
  const isVision = (name: string): boolean => /(^|\.)visual\./.test(name);
  const linears: Record<string, number> = {};
  for (const { name, shape } of tensors) {
    const layer = /(?:^|\.)layers\.\d+\..*?([^.]+_proj)\.weight$/.exec(name)?.[1];
    if (layer === undefined || isVision(name)) continue;
    linears[layer] = shape.reduce((total, extent) => total + extent, linears[layer] ?? 0);
  }
  return {
    parameters: count(tensors),
    visionParameters: count(tensors.filter(({ name }) => isVision(name))),
    linears,
    shape: await readShape(folder),
  };
}

async function exists(file: string): Promise<boolean> {
  return access(file).then(
    () => true,
    () => false,
  );
}

async function weightFiles(folder: string): Promise<string[]> {
  if (await exists(path.join(folder, "model.safetensors"))) return ["model.safetensors"];
  const index = path.join(folder, "model.safetensors.index.json");
  if (!(await exists(index))) return [];
  const { weight_map } = await readJson(index, indexSchema);
  return [...new Set(Object.values(weight_map))];
}

async function readJson<T>(file: string, schema: z.ZodType<T>): Promise<T> {
  return parseJson(file, await readFile(file, "utf8"), schema);
}

function parseJson<T>(file: string, text: string, schema: z.ZodType<T>): T {
  try {
    return schema.parse(JSON.parse(text));
  } catch (cause) {
    throw damaged(file, "its JSON is not what was expected", cause);
  }
}

function damaged(file: string, what: string, cause?: unknown): ConfigError {
  return new ConfigError("CONFIG_CHECKPOINT", `${file} is damaged: ${what}. Fetch the checkpoint again.`, {
    cause,
    fields: { file },
  });
}

async function readHeader(file: string): Promise<{ name: string; shape: readonly number[] }[]> {
  if (!(await exists(file))) throw damaged(file, "the index names it, and it does not exist");
  await using handle = await open(file);
  const lengthBytes = await handle.read(Buffer.alloc(8), 0, 8, 0);
  const length = lengthBytes.bytesRead === 8 ? Number(lengthBytes.buffer.readBigUInt64LE()) : 0;
  const { size } = await handle.stat();
  if (length === 0 || length > MAX_HEADER_BYTES || length + 8 > size) {
    throw damaged(file, `its header claims ${length} bytes in a file of ${size}`);
  }
  const { buffer } = await handle.read(Buffer.alloc(length), 0, length, 8);
  return Object.entries(parseJson(file, buffer.toString("utf8"), headerSchema)).flatMap(([name, entry]) =>
    name !== "__metadata__" && Array.isArray(entry.shape) ? [{ name, shape: entry.shape }] : [],
  );
}

async function readShape(folder: string): Promise<CheckpointSize["shape"]> {
  const file = path.join(folder, "config.json");
  if (!(await exists(file))) return undefined;
  const config = await readJson(file, z.looseObject({ text_config: z.unknown().optional() }));
  // The language model's shape is in a section of its own in newer files, at the top in older ones.
  const found = [config.text_config, config]
    .map((section) => shapeSchema.safeParse(section))
    .find((one) => one.success);
  return found && { hiddenSize: found.data.hidden_size, layers: found.data.num_hidden_layers };
}
