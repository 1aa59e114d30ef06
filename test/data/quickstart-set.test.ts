import { createHash } from "node:crypto";
import { cp, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { distortions, loadRows, writeQuickstartSet, type QuickstartSet, type Row } from "../../src/data/index.js";
import { cutWindows } from "../../src/data/windows.js";
import { decodeImage } from "../../src/images/index.js";

const ASSETS = fileURLToPath(new URL("../../assets/", import.meta.url));
const MEANS = join(ASSETS, "kadid/means.json");
const SPLIT = { train: ["astronaut.jpg", "camera.jpg"], heldOut: ["coffee.jpg"] };

let root: string;
let photos: string;
let set: QuickstartSet;
let train: readonly Row[];
let heldOut: readonly Row[];

const write = (name: string, seed: number) =>
  writeQuickstartSet({ photosDir: photos, meansFile: MEANS, outDir: join(root, name), seed, trainWindows: 2 });

async function hashes(folder: string): Promise<Record<string, string>> {
  const files = (await readdir(folder, { recursive: true })).filter((name) => /\.(png|jsonl)$/.test(name)).toSorted();
  const entries = await Promise.all(
    files.map(async (name) => [
      name,
      createHash("sha256")
        .update(await readFile(join(folder, name)))
        .digest("hex"),
    ]),
  );
  return Object.fromEntries(entries) as Record<string, string>;
}

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "thurstone-quickstart-"));
  photos = join(root, "photos");
  await mkdir(photos);
  for (const name of [...SPLIT.train, ...SPLIT.heldOut]) await cp(join(ASSETS, "photos", name), join(photos, name));
  await writeFile(join(photos, "split.json"), JSON.stringify(SPLIT));
  set = await write("one", 1);
  train = await loadRows({ data_file_paths: [set.trainFile] });
  heldOut = await loadRows({ data_file_paths: [set.heldOutFile] });
});
afterAll(() => rm(root, { recursive: true }));

describe("writeQuickstartSet", () => {
  it("writes every window at every type and level, colour types for windows with colour only", () => {
    const colourTypes = distortions.filter((one) => one.needsColour === true).map(({ type }) => type);
    expect([train.length, heldOut.length]).toEqual([set.trainRows, set.heldOutRows]);
    expect(set.heldOutRows).toBe(distortions.length * 5);
    expect(set.trainRows).toBe(4 * distortions.length * 5 - set.skipped);

    // The camera man is grey, the cup is not.
    const typesOf = (rows: readonly Row[], photo: string) =>
      new Set(rows.filter(({ group }) => group === photo).map(({ type }) => type!));
    expect(colourTypes.filter((type) => typesOf(train, "camera").has(type))).toEqual([]);
    expect(colourTypes.filter((type) => typesOf(heldOut, "coffee").has(type))).toEqual(["07", "08"]);
    expect(set.skipped % (colourTypes.length * 5)).toBe(0);
  });

  it("labels by KADID's means and names files in KADID's manner", async () => {
    const { types } = JSON.parse(await readFile(MEANS, "utf8")) as {
      types: { type: string; mean: number[]; std: number[] }[];
    };
    const row = train.find(({ id }) => id === "I02_10_04")!;
    const jpeg = types.find(({ type }) => type === "10")!;
    expect(row).toMatchObject({
      dataset: "quickstart",
      images: [join(root, "one/images/I02_10_04.png")],
      mos: jpeg.mean[3],
      mosStd: jpeg.std[3],
      group: "astronaut",
      type: "10",
      level: 4,
    });
    expect(row.messages[0]!.content).toEqual([
      { type: "image" },
      { type: "text", text: "Rate the quality of this image from 1 to 5." },
    ]);
  });

  it("keeps all windows of a photograph in one file", () => {
    expect(new Set(train.map(({ group }) => group))).toEqual(new Set(["astronaut", "camera"]));
    expect(new Set(heldOut.map(({ group }) => group))).toEqual(new Set(["coffee"]));
    const names = [...train, ...heldOut].map(({ id }) => id);
    expect(new Set(names).size).toBe(names.length);
  });

  it("cuts windows of the size asked for, and no window twice", async () => {
    const pristine = [...train, ...heldOut].filter(({ type, level }) => type === "03" && level === 1);
    const images = await Promise.all(pristine.map(({ images: [path] }) => decodeImage(path!)));
    expect(images.map(({ height, width }) => [height, width])).toEqual(images.map(() => [56, 56]));
    expect(new Set(images.map(({ hash }) => hash)).size).toBe(5);
  });

  it("writes the same bytes for the same seed, and others for another", async () => {
    await write("two", 1);
    const first = await hashes(join(root, "one"));
    expect(await hashes(join(root, "two"))).toEqual(first);
    await write("three", 2);
    expect(await hashes(join(root, "three"))).not.toEqual(first);
  });

  it("refuses a folder without a split, and means without a type", async () => {
    await expect(
      writeQuickstartSet({ photosDir: root, meansFile: MEANS, outDir: join(root, "four"), seed: 1 }),
    ).rejects.toMatchObject({ code: "DATA_FILE_UNREADABLE", message: expect.stringContaining("split.json") as string });
    const few = join(root, "few.json");
    await writeFile(few, JSON.stringify({ types: [] }));
    await expect(
      writeQuickstartSet({ photosDir: photos, meansFile: few, outDir: join(root, "five"), seed: 1 }),
    ).rejects.toThrow('has no scores for type "');
  });
});

describe("windows", () => {
  it("that do not fit are an error with all numbers", async () => {
    const outDir = join(root, "six");
    await expect(
      writeQuickstartSet({ photosDir: photos, meansFile: MEANS, outDir, seed: 1, size: 300, trainWindows: 2 }),
    ).rejects.toThrow('"astronaut.jpg" has 512 x 512 pixels: room for 1 windows of 300 pixels');
  });

  it("do not overlap and show more than most of the picture", () => {
    const edges = (x: number, y: number) => (x >= 100 && (x + y) % 2 === 0 ? 255 : 0);
    const pixels = Uint8Array.from({ length: 200 * 200 * 3 }, (_, at) => {
      const pixel = Math.floor(at / 3);
      return edges(pixel % 200, Math.floor(pixel / 200));
    });
    const image = { height: 200, width: 200, pixels };
    const windows = cutWindows(image, { size: 40, count: 4, key: 9n });
    expect(windows.length).toBe(4);
    for (const window of windows) expect(window.pixels.filter((value) => value === 255).length).toBe(40 * 40 * 1.5);
    expect(cutWindows(image, { size: 100, count: 9, key: 9n }).length).toBeGreaterThanOrEqual(2);
    expect(cutWindows(image, { size: 201, count: 1, key: 9n })).toEqual([]);
  });
});

describe("the bundled photographs", () => {
  const folder = join(ASSETS, "photos");

  it("are all in the notice and in exactly one part of the split", async () => {
    const files = (await readdir(folder, { recursive: true })).filter((name) => name.endsWith(".jpg")).toSorted();
    const split = JSON.parse(await readFile(join(folder, "split.json"), "utf8")) as Record<
      "train" | "heldOut",
      string[]
    >;
    expect([...split.train, ...split.heldOut].toSorted()).toEqual(files);
    const notice = await readFile(join(folder, "NOTICE.md"), "utf8");
    for (const name of files) expect(notice).toContain(`| ${name} |`);
  });

  it("are at least 12 free of conditions, small, and held out in colour too", async () => {
    const files = (await readdir(folder, { recursive: true })).filter((name) => name.endsWith(".jpg"));
    expect(files.filter((name) => !name.includes("cc-by")).length).toBeGreaterThanOrEqual(12);
    let bytes = 0;
    for (const name of files) {
      const { width, height } = await decodeImage(join(folder, name));
      expect(Math.max(width, height)).toBeLessThanOrEqual(512);
      bytes += (await stat(join(folder, name))).size;
    }
    expect(bytes).toBeLessThan(1.5 * 1024 * 1024);
  });

  it("come with KADID's mean of every type and level", async () => {
    const { types } = JSON.parse(await readFile(MEANS, "utf8")) as { types: { type: string; mean: number[] }[] };
    expect(types.map(({ type }) => type)).toEqual(
      Array.from({ length: 25 }, (_, index) => String(index + 1).padStart(2, "0")),
    );
    for (const { mean } of types) {
      expect(mean.length).toBe(5);
      for (const value of mean) expect(value >= 1 && value <= 5).toBe(true);
    }
    expect(types[0]!.mean).toEqual([4.6122, 4.3817, 2.9111, 1.873, 1.3027]);
  });
});
