import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, posix, relative, win32 } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { splitGlob } from "../../src/data/glob.js";
import { expandGlob, isGlob } from "../../src/data/index.js";

const FILES = ["a.png", "b.PNG", "c.jpg", ".hidden.png", "in/a.png", "in/d+e.png", "in/deep/f.png", ".git/g.png"];
let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "thurstone-glob-"));
  await mkdir(join(folder, "in/deep"), { recursive: true });
  await mkdir(join(folder, ".git"));
  for (const name of FILES) await writeFile(join(folder, name), "");
});
afterAll(() => rm(folder, { recursive: true, force: true }));

it.each([
  ["*.png", ["a.png"]],
  ["*.{png,PNG,jpg}", ["a.png", "b.PNG", "c.jpg"]],
  ["?.jpg", ["c.jpg"]],
  ["[ab].*", ["a.png", "b.PNG"]],
  ["[!ab].*", ["c.jpg"]],
  [".*.png", [".hidden.png"]],
  ["*/*.png", ["in/a.png", "in/d+e.png"]],
  ["**/*.png", ["a.png", "in/a.png", "in/d+e.png", "in/deep/f.png"]],
  ["in/**", ["in/a.png", "in/d+e.png", "in/deep/f.png"]],
  ["*/d+e.png", ["in/d+e.png"]],
  ["*.gif", []],
  ["missing/*.png", []],
])("%s meets %j", async (pattern, expected) => {
  expect((await expandGlob(join(folder, pattern))).map((path) => relative(folder, path))).toEqual(expected);
});

it("tells patterns from paths", () => {
  expect(["a*", "a?", "[a]", "{a,b}", "a.png", "a/b c+d.png"].map(isGlob)).toEqual([
    true,
    true,
    true,
    true,
    false,
    false,
  ]);
});

it.each([
  [posix, "/photos/**/*.jpg", "/", ["photos", "**", "*.jpg"]],
  [posix, "/*", "/", ["*"]],
  [win32, "C:\\photos\\**\\*.jpg", "C:\\", ["photos", "**", "*.jpg"]],
  [win32, "C:/photos/{a,b}/*.jpg", "C:\\", ["photos", "{a,b}", "*.jpg"]],
  [win32, "\\\\server\\share\\in\\*.png", "\\\\server\\share\\", ["in", "*.png"]],
])("begins at the root of the platform", (platform, pattern, root, segments) => {
  expect(splitGlob(pattern, platform)).toEqual({ root, segments });
});
