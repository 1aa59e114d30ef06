import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import {
  beginCheckpoint,
  latestCheckpoint,
  listCheckpoints,
  pruneCheckpoints,
  verifyCheckpoint,
  type Checkpoint,
} from "../../src/runs/index.js";
import { temporaryFolder } from "./temporary.js";

const sha256 = (text: string): string => createHash("sha256").update(text).digest("hex");

async function save(runFolder: string, step: number): Promise<Checkpoint> {
  const draft = await beginCheckpoint({ runFolder, step });
  writeFileSync(join(draft.folder, "weights.safetensors"), `weights of ${step}`);
  mkdirSync(join(draft.folder, "rank0"));
  writeFileSync(join(draft.folder, "rank0", "state.json"), "{}");
  return draft.commit();
}

describe("a checkpoint", () => {
  it("appears under its final name only when it is complete, with sizes and hashes of every file", async () => {
    const runFolder = temporaryFolder();
    const draft = await beginCheckpoint({ runFolder, step: 50 });
    writeFileSync(join(draft.folder, "weights.safetensors"), "abc");
    expect(await listCheckpoints(runFolder)).toEqual([]);
    expect(readdirSync(join(runFolder, "checkpoints"))).toEqual(["step_000050.partial"]);
    const checkpoint = await draft.commit();
    expect(checkpoint).toEqual({
      step: 50,
      folder: join(runFolder, "checkpoints", "step_000050"),
      files: [{ name: "weights.safetensors", bytes: 3, sha256: sha256("abc") }],
    });
    expect(readdirSync(join(runFolder, "checkpoints"))).toEqual(["step_000050"]);
    expect(await verifyCheckpoint(checkpoint.folder)).toEqual(checkpoint);
  });

  it("takes hashes its writer already told, but checks sizes and presence", async () => {
    const runFolder = temporaryFolder();
    const draft = await beginCheckpoint({ runFolder, step: 1 });
    writeFileSync(join(draft.folder, "a"), "abc");
    await expect(draft.commit([{ name: "a", bytes: 4, sha256: "" }])).rejects.toThrowError(
      /a has 3 bytes instead of 4/,
    );
    await expect(draft.commit([{ name: "b", bytes: 1, sha256: "" }])).rejects.toThrowError(/b is missing/);
    const { files } = await draft.commit([{ name: "a", bytes: 3, sha256: "told" }]);
    expect(files).toEqual([{ name: "a", bytes: 3, sha256: "told" }]);
  });

  it("starts from nothing when an earlier attempt at the step was cut off, and replaces a complete one", async () => {
    const runFolder = temporaryFolder();
    await save(runFolder, 2);
    const cutOff = await beginCheckpoint({ runFolder, step: 2 });
    writeFileSync(join(cutOff.folder, "rest"), "x");
    expect((await latestCheckpoint(runFolder))?.step).toBe(2);
    const again = await save(runFolder, 2);
    expect(again.files.map(({ name }) => name)).toEqual(["rank0/state.json", "weights.safetensors"]);
    await (await beginCheckpoint({ runFolder, step: 3 })).discard();
    expect(readdirSync(join(runFolder, "checkpoints"))).toEqual(["step_000002"]);
  });

  it.each([
    [
      "a changed byte",
      (folder: string) => writeFileSync(join(folder, "weights.safetensors"), "Weights of 7"),
      "has another content",
    ],
    [
      "a cut file",
      (folder: string) => writeFileSync(join(folder, "weights.safetensors"), "weig"),
      "has 4 bytes instead of 12",
    ],
    ["a deleted file", (folder: string) => rmSync(join(folder, "weights.safetensors")), "is missing"],
  ])("names the file after %s", async (_, harm, message) => {
    const { folder } = await save(temporaryFolder(), 7);
    harm(folder);
    await expect(verifyCheckpoint(folder)).rejects.toMatchObject({
      name: "RunError",
      code: "RUN_CHECKPOINT_DAMAGED",
      fields: { folder, file: "weights.safetensors" },
      message: expect.stringContaining(`step_000007 is damaged: weights.safetensors ${message}`),
    });
  });

  it.each([
    ["changed", (text: string) => text.replace('"step": 7', '"step": 8')],
    ["cut", (text: string) => text.slice(0, 40)],
    ["replaced by another value", () => "null"],
  ])("notices a manifest that was %s", async (_, harm) => {
    const { folder } = await save(temporaryFolder(), 7);
    const manifest = join(folder, "manifest.json");
    writeFileSync(manifest, harm(readFileSync(manifest, "utf8")));
    await expect(verifyCheckpoint(folder)).rejects.toMatchObject({
      code: "RUN_CHECKPOINT_DAMAGED",
      fields: { file: "manifest.json" },
    });
  });

  it("was renamed or lost its manifest, which is noticed though every file is there", async () => {
    const { folder } = await save(temporaryFolder(), 7);
    const renamed = folder.replace("step_000007", "step_000008");
    renameSync(folder, renamed);
    await expect(verifyCheckpoint(renamed)).rejects.toMatchObject({ code: "RUN_CHECKPOINT_DAMAGED" });
    renameSync(renamed, folder);
    expect((await verifyCheckpoint(folder)).step).toBe(7);
    rmSync(join(folder, "manifest.json"));
    await expect(verifyCheckpoint(folder)).rejects.toMatchObject({
      code: "RUN_CHECKPOINT_DAMAGED",
      fields: { file: "manifest.json", how: "is missing" },
    });
  });

  it("is not found where none is", async () => {
    await expect(verifyCheckpoint(temporaryFolder())).rejects.toMatchObject({ code: "RUN_CHECKPOINT_MISSING" });
    expect(await latestCheckpoint(temporaryFolder())).toBeUndefined();
  });
});

describe("the checkpoints of a run", () => {
  it("are listed by step, and the newest are kept", async () => {
    const runFolder = temporaryFolder();
    for (const step of [100, 20, 1_000_000, 3]) await save(runFolder, step);
    mkdirSync(join(runFolder, "checkpoints", "step_000004.superseded"));
    mkdirSync(join(runFolder, "checkpoints", "notes"));
    expect((await listCheckpoints(runFolder)).map(({ step }) => step)).toEqual([3, 20, 100, 1_000_000]);
    expect(await pruneCheckpoints({ runFolder, keep: 2 })).toEqual([3, 20]);
    expect((await listCheckpoints(runFolder)).map(({ step }) => step)).toEqual([100, 1_000_000]);
    expect(await pruneCheckpoints({ runFolder, keep: 2 })).toEqual([]);
    await save(runFolder, 2_000_000);
    expect(await pruneCheckpoints({ runFolder, keep: 1, spare: 100 })).toEqual([1_000_000]);
    expect((await listCheckpoints(runFolder)).map(({ step }) => step)).toEqual([100, 2_000_000]);
  });
});
