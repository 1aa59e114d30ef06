/**
 * Makes a pool of training pictures: random crops of photographs, each degraded in one way at one level.
 *
 *   npx tsx run_scripts/tiny-checkpoints/training-crops.ts --out DIR [--count 20000] [--seed 0] [--types 01,03,...] PHOTOS...
 *
 * Crops differ in place, scale, flip and quarter turn, so that no two show the same; of three drawn places the one with
 * most detail is taken, because blur leaves no trace where nothing was to be seen. Writes train.jsonl and images/ with
 * rows like those of the quickstart's data: KADID's mean score of type and level is the label.
 *
 * @module
 */
import { mkdir, readdir, readFile, stat, writeFile } from "node:fs/promises";
import { basename, join, resolve } from "node:path";
import { parseArgs } from "node:util";
import sharp from "sharp";
import { distort, distortions } from "../../src/data/distortions/index.js";
import type { RgbImage } from "../../src/data/distortions/index.js";
import { decodeImage } from "../../src/images/index.js";
import { foldKey, uniform } from "../../src/stats/index.js";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    out: { type: "string" },
    count: { type: "string", default: "20000" },
    seed: { type: "string", default: "0" },
    size: { type: "string", default: "56" },
    types: { type: "string" },
    means: { type: "string", default: resolve(import.meta.dirname, "../../assets/kadid/means.json") },
  },
});
if (values.out === undefined || positionals.length === 0) throw new Error("training-crops: give --out DIR and photographs.");

const PLACES = 3;
/** Sizes of a photograph relative to the file: the same thing from near and far. */
const SCALES = [1, 0.8, 0.6, 0.45];
const LEVELS = 5;
/** Colour types need colour: mean distance of the greatest from the smallest channel. */
const LEAST_COLOUR = 32;
const PARALLEL = 16;

const out = resolve(values.out);
const size = Number(values.size);
const seed = Number(values.seed);
const { types: labels } = JSON.parse(await readFile(values.means, "utf8")) as {
  types: { type: string; name: string; mean: number[]; std: number[] }[];
};
const chosen = values.types === undefined ? null : new Set(values.types.split(","));
const types = distortions.filter(({ type }) => chosen === null || chosen.has(type));

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
process.stderr.write(`${scaled.length} photographs, ${types.length} types\n`);

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
  const { photo, images } = scaled[Math.floor(draw(0) * scaled.length)]!;
  const image = images[Math.floor(draw(1) * images.length)]!;
  const places = Array.from({ length: PLACES }, (_, place) => cut(image, draw(10 + place), draw(20 + place)));
  const best = places.reduce((one, other) => (detailOf(other) > detailOf(one) ? other : one));
  const window = turned(best, Math.floor(draw(2) * 8));

  const suitable = hasColour(window) ? types : types.filter((one) => one.needsColour !== true);
  const { type } = suitable[Math.floor(draw(3) * suitable.length)]!;
  const level = 1 + Math.floor(draw(4) * LEVELS);
  const label = labels.find((one) => one.type === type)!;
  const { pixels } = await distort(window, { type, level, key: foldKey(seed, index, 5) });
  const name = `images/${String(index).padStart(6, "0")}.png`;
  await sharp(pixels, { raw: { height: size, width: size, channels: 3 } })
    .png({ compressionLevel: 3 })
    .toFile(join(out, name));
  return `${JSON.stringify({
    id: `${index}`,
    dataset_name: "crops",
    image: [name],
    conversations: [
      { from: "human", value: "Rate the quality of this image from 1 to 5." },
      { from: "gpt", value: label.mean[level - 1] },
    ],
    mos_std: label.std[level - 1],
    group: basename(photo),
    type,
    type_name: label.name,
    level,
  })}\n`;
}

function cut({ pixels, width, height }: RgbImage, down: number, right: number): RgbImage {
  const top = Math.floor(down * (height - size + 1));
  const left = Math.floor(right * (width - size + 1));
  const result = new Uint8Array(size * size * 3);
  for (let row = 0; row < size; row += 1) {
    const from = ((top + row) * width + left) * 3;
    result.set(pixels.subarray(from, from + size * 3), row * size * 3);
  }
  return { height: size, width: size, pixels: result };
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

function detailOf({ pixels }: RgbImage): number {
  let sum = 0;
  for (let at = 1; at < pixels.length - 3 * size - 3; at += 3) {
    sum += Math.abs(pixels[at]! - pixels[at + 3]!) + Math.abs(pixels[at]! - pixels[at + 3 * size]!);
  }
  return sum;
}

function hasColour({ pixels }: RgbImage): boolean {
  let sum = 0;
  for (let at = 0; at < pixels.length; at += 3) {
    const [red, green, blue] = [pixels[at]!, pixels[at + 1]!, pixels[at + 2]!];
    sum += Math.max(red, green, blue) - Math.min(red, green, blue);
  }
  return sum / (pixels.length / 3) >= LEAST_COLOUR;
}
