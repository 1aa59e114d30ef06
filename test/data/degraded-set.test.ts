import { copyFile, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import sharp from "sharp";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  distort,
  findPhotos,
  loadRows,
  writeContactSheet,
  writeDegradedSet,
  type DegradedSet,
} from "../../src/data/index.js";
import { simulateRaters } from "../../src/data/simulated-raters.js";
import { decodeImage } from "../../src/images/index.js";

const ASSETS = fileURLToPath(new URL("../../assets/", import.meta.url));
const meansFile = join(ASSETS, "kadid/means.json");

let root: string;
let photos: string[];
let set: DegradedSet;

const write = (name: string, more: Partial<Parameters<typeof writeDegradedSet>[0]> = {}) =>
  writeDegradedSet({
    photos,
    outDir: join(root, name),
    meansFile,
    seed: 7,
    types: ["07", "11", "20"],
    levels: [2, 5],
    longestSide: 96,
    ...more,
  });

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "thurstone-degraded-"));
  await mkdir(join(root, "photos/more"), { recursive: true });
  await copyFile(join(ASSETS, "photos/coffee.jpg"), join(root, "photos/coffee.jpg"));
  await copyFile(join(ASSETS, "photos/camera.jpg"), join(root, "photos/more/camera.jpg"));
  await writeFile(join(root, "photos/notes.txt"), "no picture");
  photos = await findPhotos([join(root, "photos")]);
  set = await write("set");
});
afterAll(() => rm(root, { recursive: true }));

describe("findPhotos", () => {
  it("finds the pictures of a folder and below it, in order, and takes files as they are", async () => {
    expect(photos).toEqual([join(root, "photos/coffee.jpg"), join(root, "photos/more/camera.jpg")]);
    expect(await findPhotos([photos[1]!, photos[0]!])).toEqual([photos[1], photos[0]]);
  });

  it("names every path that is not there and every folder without pictures", async () => {
    await mkdir(join(root, "empty"), { recursive: true });
    await expect(findPhotos([join(root, "nowhere"), join(root, "empty")])).rejects.toMatchObject({
      fields: { problems: [{ code: "DATA_IMAGE_MISSING" }, { code: "DATA_NO_FILES" }] },
    });
  });
});

describe("a degraded set", () => {
  it("is laid out as KADID-10k and read as it is, under a name of its own", async () => {
    const { types } = JSON.parse(await readFile(meansFile, "utf8")) as {
      types: { type: string; mean: number[]; raterStd: number[] }[];
    };
    const noise = types.find(({ type }) => type === "11")!;
    const rows = await loadRows({ data_file_paths: [set.dataFile] });
    expect(rows.map(({ id }) => id)).toEqual(
      ["I01_07", "I01_11", "I01_20", "I02_11", "I02_20"].flatMap((id) => [`${id}_02`, `${id}_05`]),
    );
    expect(rows.length).toBe(set.pictures);
    expect(rows.find(({ id }) => id === "I01_11_05")).toMatchObject({
      dataset: "KADID-10k-transferred",
      group: "I01",
      type: "11",
      level: 5,
      mos: noise.mean[4],
    });
    expect(rows.find(({ id }) => id === "I01_11_05")!.mosStd).toBeCloseTo(noise.raterStd[4]!, 3);
    expect((await readdir(join(root, "set/images"))).filter((name) => name.length === 7)).toEqual([
      "I01.png",
      "I02.png",
    ]);
  });

  it("holds the photographs reduced, and what the distortion makes of them", async () => {
    const reference = await decodeImage(join(root, "set/images/I01.png"));
    expect([reference.width, reference.height]).toEqual([96, 64]);
    const quiet = await decodeImage(join(root, "set/images/I01_07_05.png"));
    const expected = await distort(reference, { type: "07", level: 5, key: 0n });
    expect(Buffer.compare(quiet.pixels, expected.pixels)).toBe(0);
  });

  it("leaves colour out for grey photographs, says so, and says that nobody judged", async () => {
    expect(set.references).toEqual([
      { reference: "I01", photo: "coffee.jpg", skipped: [] },
      { reference: "I02", photo: "camera.jpg", skipped: ["07"] },
    ]);
    const card = await readFile(join(root, "set/README.md"), "utf8");
    expect(card).toContain("**Nobody judged these pictures.**");
    expect(card).toContain("I02 types 07");
    expect(card).toContain("| I01.png | coffee.jpg |");
  });

  it("depends on photograph and seed, not on names, order or the other photographs", async () => {
    await write("alone", { photos: [photos[1]!] });
    await write("other", { photos: [photos[1]!], seed: 8 });
    const bytes = (path: string) => readFile(join(root, path));
    expect(await bytes("alone/images/I01_11_05.png")).toEqual(await bytes("set/images/I02_11_05.png"));
    expect(await bytes("other/images/I01_11_05.png")).not.toEqual(await bytes("set/images/I02_11_05.png"));
  });

  it("takes simulated raters", async () => {
    const { dataFile } = await write("rated", { raters: 30 });
    const rows = await loadRows({ data_file_paths: [dataFile] });
    for (const { mos } of rows) expect(Math.abs(30 * mos! - Math.round(30 * mos!))).toBeLessThan(0.01);
    await expect(write("one", { raters: 1 })).rejects.toMatchObject({ code: "DATA_RATERS" });
  });

  it("is there as a whole or not at all, with every bad photograph named", async () => {
    const broken = join(root, "broken.jpg");
    await writeFile(broken, (await readFile(photos[0]!)).subarray(0, 5000));
    const twice = join(root, "twice.jpg");
    await copyFile(photos[0]!, twice);
    await expect(write("bad", { photos: [...photos, broken, twice] })).rejects.toMatchObject({
      fields: {
        problems: [
          { code: "DATA_IMAGE_BROKEN", file: broken },
          { code: "DATA_DUPLICATE_PHOTO", file: twice },
        ],
      },
    });
    expect((await readdir(root)).filter((name) => name.includes("bad"))).toEqual([]);
  });

  it("replaces a set only when asked, and never a folder that holds something else", async () => {
    await expect(write("set")).rejects.toMatchObject({ code: "DATA_FOLDER_NOT_EMPTY" });
    const again = await write("alone", { photos: [photos[0]!], overwrite: true });
    expect(again.references.map(({ photo }) => photo)).toEqual(["coffee.jpg"]);
    await expect(write("photos", { overwrite: true })).rejects.toThrow("coffee.jpg");
    expect(await findPhotos([join(root, "photos")])).toEqual(photos);
  });

  it("refuses types and levels that do not exist", async () => {
    await expect(write("no", { types: ["26"] })).rejects.toThrow('no distortion of type "26"');
    await expect(write("no", { levels: [6] })).rejects.toThrow("no level 6");
  });
});

describe("simulated raters", () => {
  it("agree with mean and spread in the middle of the scale, and stay on it", () => {
    const middle = simulateRaters({ mean: 3, raterStd: 0.8 }, { raters: 20_000, key: 1n });
    expect(middle.mean).toBeCloseTo(3, 1);
    // Rounding to whole numbers adds a twelfth; the ends of the scale take a little away.
    expect(Math.abs(middle.deviation ** 2 - (0.64 + 1 / 12))).toBeLessThan(0.06);
    const end = simulateRaters({ mean: 4.9, raterStd: 0.8 }, { raters: 1000, key: 1n });
    expect(end.mean).toBeLessThan(4.9);
    expect(end.mean).toBeGreaterThan(4.4);
  });
});

describe("a contact sheet", () => {
  it("has a row per type and a column per level behind the untouched detail", async () => {
    const file = join(root, "sheet.png");
    await writeContactSheet({ photo: photos[0]!, file, seed: 1, types: ["07", "11"], levels: [1, 5], longestSide: 96 });
    const sheet = sharp(file);
    const { width, height } = await sheet.metadata();
    // Two halves of 104 for captions and three cells of 64 with gaps of 2; one row below the captions.
    expect([width, height]).toEqual([2 * (104 + 3 * 66), 16 + 66]);
    const cell = async (left: number) => {
      const cut = await sharp(file)
        .extract({ left, top: 16, width: 64, height: 64 })
        .toColourspace("srgb")
        .png()
        .toBuffer();
      return (await sharp(cut).stats()).channels.map(({ mean }) => mean);
    };
    const [plain, grey] = [await cell(104), await cell(104 + 66)];
    const spread = (means: readonly number[]) => Math.max(...means) - Math.min(...means);
    expect(spread(grey)).toBeLessThan(spread(plain));
  });

  it("of the documentation is small", async () => {
    const file = fileURLToPath(new URL("../../docs/images/contact-sheet.png", import.meta.url));
    expect((await stat(file)).size).toBeLessThan(400 * 1024);
  });
});
