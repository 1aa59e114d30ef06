import { mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { digestModel } from "../../../src/trainer/evaluation/digests.js";

let root: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "thurstone-digests-"));
  await writeFile(join(root, "a.txt"), "abc");
});
afterAll(() => rm(root, { recursive: true }));

it("a folder is known by the content of its files", async () => {
  expect((await digestModel(root)).files).toEqual([
    { name: "a.txt", bytes: 3, sha256: "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" },
  ]);
});

it.each(["nobody/nothing", "a.txt/nothing"])("what is not there is a hub id: %s", async (name) => {
  const model = join(root, name);
  expect(await digestModel(model, "main")).toEqual({ name: model, revision: "main", files: null, sha256: null });
});

it("a path that cannot be looked at is an error, no hub id", async () => {
  const loop = join(root, "loop");
  await symlink(loop, loop);
  await expect(digestModel(loop)).rejects.toMatchObject({ code: "ELOOP" });
  await rm(loop);
});
