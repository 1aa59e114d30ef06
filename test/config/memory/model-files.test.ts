/**
 * Which model a configuration names, read from JSON files alone.
 *
 * @module
 */
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { readModelFiles, releasedArchitecture } from "../../../src/config/index.js";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "thurstone-model-"));
});
afterAll(() => rm(folder, { recursive: true }));

async function made(name: string, files: Readonly<Record<string, unknown>>): Promise<string> {
  const place = path.join(folder, name);
  await mkdir(place);
  for (const [file, content] of Object.entries(files)) {
    await writeFile(path.join(place, file), typeof content === "string" ? content : JSON.stringify(content));
  }
  return place;
}

it("reads a checkpoint of this repository", async () => {
  const found = await readModelFiles("assets/part");
  expect(found).toMatchObject({ minPixels: 3136, maxPixels: 1_003_520, adapterRank: null });
  expect(found!.architecture).toMatchObject({
    text: { hiddenSize: 128, layers: 2, keyValueHeads: 2, vocabulary: 512, tied: true },
    vision: { width: 192, depth: 3, patchValues: 1176, gated: true },
    storedBytes: 2,
  });
});

it("follows an adapter to its model", async () => {
  const base = path.resolve("assets/part");
  const place = await made("adapter", { "adapter_config.json": { base_model_name_or_path: base, r: 4 } });
  expect(await readModelFiles(place)).toEqual({ ...(await readModelFiles(base)), adapterRank: 4 });
});

it("knows released models without their files, and no other hub id", async () => {
  const id = "Qwen/Qwen2.5-VL-7B-Instruct";
  expect((await readModelFiles(id))!.architecture).toEqual(releasedArchitecture(id));
  expect(await readModelFiles("somebody/a-model")).toBeNull();
});

it("names a file that is damaged", async () => {
  const place = await made("damaged", { "config.json": "{{" });
  await expect(readModelFiles(place)).rejects.toThrowError(
    expect.objectContaining({ code: "CONFIG_CHECKPOINT" }) as Error,
  );
});
