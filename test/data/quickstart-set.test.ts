import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
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
const SPLIT = { train: ["astronaut.jpg", "camera.jpg"], validation: ["rocket.jpg"], test: ["coffee.jpg"] };
const PARTS = ["train", "validation", "test"] as const;

let root: string;
let photos: string;
let set: QuickstartSet;
let rows: Readonly<Record<(typeof PARTS)[number], readonly Row[]>>;

const write = (name: string, seed: number) =>
  writeQuickstartSet({
    photosDir: photos,
    meansFile: MEANS,
    outDir: join(root, name),
    seed,
    windows: { train: 2, validation: 1 },
    rowsPerWindow: { train: "all" },
  });

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
  for (const name of Object.values(SPLIT).flat()) await cp(join(ASSETS, "photos", name), join(photos, name));
  await writeFile(join(photos, "split.json"), JSON.stringify(SPLIT));
  set = await write("one", 1);
  const load = async (part: (typeof PARTS)[number]) => loadRows({ data_file_paths: [set[part].file] });
  rows = { train: await load("train"), validation: await load("validation"), test: await load("test") };
});
afterAll(() => rm(root, { recursive: true }));

describe("writeQuickstartSet", () => {
  it("writes as many rows as it says, of all versions that suit the window or of a number of them", () => {
    for (const part of PARTS) expect(rows[part].length).toBe(set[part].rows);
    expect([set.validation.rows, set.test.rows]).toEqual([20, 33]);

    // The camera man is grey, the astronaut's windows may be either.
    // Nobody can tell 05, 06, 07 and 20 in a small window.
    const seen = distortions.filter(({ type }) => !["05", "06", "07", "20"].includes(type));
    const colourTypes = seen.filter((one) => one.needsColour === true).map(({ type }) => type);
    const camera = rows.train.filter(({ group }) => group === "camera");
    expect(camera.length).toBe(2 * 5 * (seen.length - colourTypes.length));
    expect(camera.filter(({ type }) => colourTypes.includes(type!))).toEqual([]);
    expect(rows.train.some(({ type }) => colourTypes.includes(type!))).toBe(true);
    const used = new Set(PARTS.flatMap((part) => rows[part].map(({ type }) => type!)));
    expect([...used].filter((type) => !seen.some((one) => one.type === type))).toEqual([]);
  });

  it("deals types and levels evenly, and no version of a window twice", () => {
    const perLevel = [1, 2, 3, 4, 5].map((level) => rows.test.filter((row) => row.level === level).length);
    expect(Math.max(...perLevel) - Math.min(...perLevel)).toBeLessThanOrEqual(6);
    expect(new Set(rows.test.map(({ type }) => type)).size).toBeGreaterThanOrEqual(Math.min(15, distortions.length));
    expect(new Set(rows.test.map(({ id }) => id)).size).toBe(33);
  });

  it("labels by KADID's means and names files in KADID's manner", async () => {
    const { types } = JSON.parse(await readFile(MEANS, "utf8")) as {
      types: { type: string; mean: number[]; std: number[] }[];
    };
    const row = rows.train.find(({ id }) => id === "I02_10_04")!;
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
    const groups = PARTS.map((part) => [...new Set(rows[part].map(({ group }) => group))]);
    expect(groups).toEqual([["astronaut", "camera"], ["rocket"], ["coffee"]]);
    const names = PARTS.flatMap((part) => rows[part].map(({ id }) => id));
    expect(new Set(names).size).toBe(names.length);
  });

  it("cuts windows of the size asked for, and no window twice", async () => {
    const pristine = rows.train.filter(({ type, level }) => type === "03" && level === 1);
    const images = await Promise.all(pristine.map(({ images: [path] }) => decodeImage(path!)));
    expect(images.map(({ height, width }) => [height, width])).toEqual(images.map(() => [56, 56]));
    expect(new Set(images.map(({ hash }) => hash)).size).toBe(4);
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
      writeQuickstartSet({ photosDir: photos, meansFile: MEANS, outDir, seed: 1, size: 300, windows: { train: 2 } }),
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
  const isPhoto = (name: string) => name.endsWith(".jpg");
  const split = JSON.parse(readFileSync(join(folder, "split.json"), "utf8")) as Record<
    (typeof PARTS)[number],
    string[]
  >;

  it("are all in the notice and in exactly one part of the split", async () => {
    const files = (await readdir(folder, { recursive: true })).filter(isPhoto).toSorted();
    expect(PARTS.flatMap((part) => split[part]).toSorted()).toEqual(files);
    const notice = await readFile(join(folder, "NOTICE.md"), "utf8");
    for (const name of files) expect(notice).toContain(`| ${name} |`);
  });

  it("are enough for three parts, in colour where nothing is trained", async () => {
    expect(split.train.length).toBeGreaterThanOrEqual(12);
    expect(split.validation.length).toBeGreaterThanOrEqual(5);
    expect(split.test.length).toBeGreaterThanOrEqual(12);
    for (const name of [...split.validation, ...split.test]) {
      const { pixels } = await decodeImage(join(folder, name));
      const spread = pixels.filter((_, at) => at % 3 === 0 && Math.abs(pixels[at]! - pixels[at + 2]!) > 16).length;
      expect([name, spread / (pixels.length / 3) > 0.2]).toEqual([name, true]);
    }
  });

  it("are at least 12 free of conditions, and small", async () => {
    const files = (await readdir(folder, { recursive: true })).filter(isPhoto);
    expect(files.filter((name) => !name.includes("cc-by")).length).toBeGreaterThanOrEqual(12);
    let bytes = 0;
    for (const name of files) {
      const { width, height } = await decodeImage(join(folder, name));
      expect(Math.max(width, height)).toBeLessThanOrEqual(512);
      bytes += (await stat(join(folder, name))).size;
    }
    expect(bytes).toBeLessThan(3 * 1024 * 1024);
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
