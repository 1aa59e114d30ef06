/**
 * Makes a pool of training pictures: random crops of photographs, each degraded in one way at one level.
 *
 *   npx tsx run_scripts/tiny-checkpoints/training-crops.ts --out DIR [--count 24000] [--seed 0] PHOTOS...
 *
 * Crops differ in place, scale, flip and quarter turn, so that no two show the same; of three drawn places the one with
 * most detail is taken, because blur leaves no trace where nothing was to be seen. Writes train.jsonl and images/ with
 * rows like those of the quickstart's data: KADID's mean score of type and level is the label.
 *
 * @module
 */
import { mkdir, readdir, stat, writeFile } from "node:fs/promises";
import { basename, join, resolve } from "node:path";
import { parseArgs } from "node:util";
import sharp from "sharp";
import { distort } from "../../src/data/distortions/index.js";
import type { RgbImage } from "../../src/data/distortions/index.js";
import { visibleVersions } from "../../src/data/quickstart-set.js";
import { readScoreTable } from "../../src/data/score-table.js";
import { cutWindow, detailOf } from "../../src/data/windows.js";
import { decodeImage } from "../../src/images/index.js";
import { foldKey, uniform } from "../../src/stats/index.js";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    out: { type: "string" },
    count: { type: "string", default: "24000" },
    seed: { type: "string", default: "0" },
    size: { type: "string", default: "56" },
    question: { type: "string", default: "Rate the quality of this image from 1 to 5." },
  },
});
if (values.out === undefined || positionals.length === 0)
  throw new Error("training-crops: give --out DIR and photographs.");

const PLACES = 3;
/** Sizes of a photograph relative to the file: the same thing from near and far. */
const SCALES = [1, 0.8, 0.6, 0.45];
const PARALLEL = 16;
/** Purposes of random draws. */
const DRAW = { photo: 0, scale: 1, turn: 2, version: 3, noise: 5, top: 10, left: 20 } as const;

const out = resolve(values.out);
const size = Number(values.size);
const seed = Number(values.seed);
const table = await readScoreTable(resolve(import.meta.dirname, "../../assets/kadid/means.json"));

const photos = (await Promise.all(positionals.map(filesOf))).flat().toSorted();
const scaled: { photo: string; images: RgbImage[] }[] = [];
for (const photo of photos) {
  const images: RgbImage[] = [];
  for (const scale of SCALES) {
    const image = await atScale(photo, scale);
    if (Math.min(image.width, image.height) >= size * 2) images.push(image);
  }
  if (images.length > 0) scaled.push({ photo, images });
}
process.stderr.write(`${scaled.length} photographs\n`);

await mkdir(join(out, "images"), { recursive: true });
const lines: string[] = [];
for (let first = 0; first < Number(values.count); first += PARALLEL) {
  const indices = Array.from({ length: Math.min(PARALLEL, Number(values.count) - first) }, (_, at) => first + at);
  lines.push(...(await Promise.all(indices.map(makeCrop))));
}
await writeFile(join(out, "train.jsonl"), lines.join(""));
process.stderr.write(`${lines.length} crops in ${out}\n`);

async function filesOf(path: string): Promise<string[]> {
  if (!(await stat(path)).isDirectory()) return [path];
  const inside = await readdir(path, { recursive: true });
  return inside.filter((name) => /\.(jpe?g|png|webp)$/i.test(name)).map((name) => join(path, name));
}

async function atScale(photo: string, scale: number): Promise<RgbImage> {
  const image = await decodeImage(photo);
  if (scale === 1) return image;
  const { data, info } = await sharp(image.pixels, { raw: { height: image.height, width: image.width, channels: 3 } })
    .resize({ width: Math.round(image.width * scale) })
    .raw()
    .toBuffer({ resolveWithObject: true });
  return { height: info.height, width: info.width, pixels: new Uint8Array(data) };
}

async function makeCrop(index: number): Promise<string> {
  const draw = (purpose: number): number => uniform(foldKey(seed, index, purpose));
  const pick = <T>(items: readonly T[], purpose: number): T => items[Math.floor(draw(purpose) * items.length)]!;
  const { photo, images } = pick(scaled, DRAW.photo);
  const image = pick(images, DRAW.scale);
  const places = Array.from({ length: PLACES }, (_, place) => ({
    top: Math.floor(draw(DRAW.top + place) * (image.height - size + 1)),
    left: Math.floor(draw(DRAW.left + place) * (image.width - size + 1)),
  }));
  const best = places.reduce((one, other) => (detailOf(image, other, size) > detailOf(image, one, size) ? other : one));
  const window = turned(cutWindow(image, best, size), Math.floor(draw(DRAW.turn) * 8));

  const { distortion, level } = pick(visibleVersions(window), DRAW.version);
  const { type, name: kind } = distortion;
  const { mean, std } = table.scoreOf({ type, level });
  const { pixels } = await distort(window, { type, level, key: foldKey(seed, index, DRAW.noise) });
  const file = `images/${String(index).padStart(6, "0")}.png`;
  await sharp(pixels, { raw: { height: size, width: size, channels: 3 } })
    .png({ compressionLevel: 3 })
    .toFile(join(out, file));
  return `${JSON.stringify({
    id: `${index}`,
    dataset_name: "crops",
    image: [file],
    conversations: [
      { from: "human", value: values.question },
      { from: "gpt", value: mean },
    ],
    mos_std: std,
    group: basename(photo),
    type,
    type_name: kind,
    level,
  })}\n`;
}

/** One of the 8 symmetries of a square. */
function turned({ pixels }: RgbImage, symmetry: number): RgbImage {
  const result = new Uint8Array(pixels.length);
  for (let row = 0; row < size; row += 1) {
    for (let column = 0; column < size; column += 1) {
      let [y, x] = symmetry & 4 ? [column, row] : [row, column];
      if (symmetry & 1) y = size - 1 - y;
      if (symmetry & 2) x = size - 1 - x;
      const from = (y * size + x) * 3;
      result.set(pixels.subarray(from, from + 3), (row * size + column) * 3);
    }
  }
  return { height: size, width: size, pixels: result };
}
