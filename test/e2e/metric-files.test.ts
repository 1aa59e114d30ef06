/** Files as they come, through a real worker: what cannot be scored is a record with a code, and the rest is scored. */
import { readFileSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import sharp from "sharp";
import type { Sharp } from "sharp";
import { afterAll, beforeAll, expect, it } from "vitest";
import { runScoreCommand } from "../../src/cli/score.js";
import { createMetric } from "../../src/trainer/index.js";
import type { Metric, MetricInput, Rating, ScoreOptions } from "../../src/trainer/index.js";
import { commandIo } from "../cli/outputs.js";

const ASSETS = resolve(import.meta.dirname, "../../assets");
const PHOTO = join(ASSETS, "photos/astronaut.jpg");

let folder: string;
let metric: Metric;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "thurstone-metric-"));
  metric = await createMetric({
    model: join(ASSETS, "rated"),
    question: "Rate the quality of this image from 1 to 5.",
    questionTemplate: "{Question}",
    // What this tiny checkpoint can read; its answer to larger pictures is no score.
    maxPixels: 9408,
    device: "cpu",
    threads: 1,
  });
});
afterAll(async () => {
  await metric.close();
  await rm(folder, { recursive: true, force: true });
});

const flat = (width: number, height: number): Sharp =>
  sharp({ create: { width, height, channels: 3, background: { r: 120, g: 90, b: 60 } } });
const small = (): Sharp => sharp(PHOTO).resize(96, 80);
/** The first box of a HEIC file as telephones write it. */
const heic = Buffer.concat([Buffer.from([0, 0, 0, 24]), Buffer.from("ftypheic\0\0\0\0mif1heic"), Buffer.alloc(64)]);

/** Each file with the code of its record; null: it is scored. */
const FILES: readonly (readonly [string, () => Promise<Uint8Array | string>, string | null])[] = [
  ["photo.jpg", async () => readFileSync(PHOTO), null],
  ["truncated.png", async () => (await small().png().toBuffer()).subarray(0, 4000), "DATA_IMAGE_BROKEN"],
  ["cmyk.jpg", async () => small().toColourspace("cmyk").jpeg().toBuffer(), "DATA_IMAGE_UNSUPPORTED"],
  ["text.jpg", async () => "no picture at all\n", "DATA_IMAGE_BROKEN"],
  ["empty.png", async () => "", "DATA_IMAGE_BROKEN"],
  ["one.png", async () => flat(1, 1).png().toBuffer(), null],
  ["strip.png", async () => flat(402, 2).png().toBuffer(), "DATA_IMAGE_TOO_LONG"],
  ["100-megapixel.png", async () => flat(10_000, 10_000).png({ compressionLevel: 1 }).toBuffer(), null],
  ["more.png", async () => flat(10_000, 10_001).png({ compressionLevel: 1 }).toBuffer(), "DATA_IMAGE_TOO_LARGE"],
  ["photo.heic", async () => heic, "DATA_IMAGE_UNSUPPORTED"],
  ["photo.avif", async () => small().avif().toBuffer(), null],
  ["photo.tiff", async () => small().tiff().toBuffer(), null],
  ["photo.gif", async () => small().gif().toBuffer(), null],
  ["photo.webp", async () => small().webp().toBuffer(), null],
  [
    "drawing.svg",
    async () => '<svg xmlns="http://www.w3.org/2000/svg" width="64" height="64"><rect width="9" height="9"/></svg>',
    "DATA_IMAGE_UNSUPPORTED",
  ],
  ["last.jpg", async () => readFileSync(PHOTO), null],
];

async function ratingsOf(inputs: Iterable<MetricInput>, options?: ScoreOptions): Promise<Rating[]> {
  const ratings: Rating[] = [];
  for await (const rating of metric.score(inputs, options)) ratings.push(rating);
  return ratings;
}

it("scores what its rules allow, names what they do not, and keeps the order", { timeout: 120_000 }, async () => {
  const paths: string[] = [];
  for (const [name, content] of FILES) {
    paths.push(join(folder, name));
    await writeFile(join(folder, name), await content());
  }
  expect(paths).toHaveLength(16);
  const ratings = await ratingsOf(paths);
  expect(ratings.map(({ id, code }) => [id, code ?? null])).toEqual(
    FILES.map(([name, , code]) => [join(folder, name), code]),
  );
  for (const { score, std, code, reason, id } of ratings) {
    if (code === undefined) {
      expect(score).toBeGreaterThanOrEqual(1);
      expect(score).toBeLessThanOrEqual(5);
      expect(std).toBeGreaterThan(0);
    } else {
      expect([score, std]).toEqual([null, null]);
      expect(reason).toContain(id);
    }
  }
  expect(ratings.at(-1)).toEqual({ ...ratings[0], id: paths.at(-1) });
});

it("gives the first picture of an animation, and the same for bytes as for their file", async () => {
  const frames = await sharp([await small().png().toBuffer(), await small().negate().png().toBuffer()], {
    join: { animated: true },
  })
    .gif()
    .toBuffer();
  const first = await sharp(frames, { page: 0 }).png().toBuffer();
  const path = join(folder, "animated.gif");
  await writeFile(path, frames);
  const [file, bytes, still] = await ratingsOf([path, frames, first]);
  expect(bytes).toEqual({ ...file, id: "bytes:1" });
  expect(still!.score).toBe(file!.score);
});

it("ends with the signal's reason while the model works, and scores on afterwards", async () => {
  const controller = new AbortController();
  const reason = new Error("enough");
  const scoring = ratingsOf([PHOTO, PHOTO], { signal: controller.signal });
  controller.abort(reason);
  await expect(scoring).rejects.toBe(reason);
  expect((await ratingsOf([PHOTO])).map(({ status }) => status)).toEqual(["ok"]);
});

it("rates a picture on the command line as in TypeScript, to the last bit", async () => {
  await writeFile(join(folder, "text.png"), "no picture");
  const paths = [PHOTO, join(folder, "text.png")];
  const io = commandIo(folder);
  const code = await runScoreCommand(
    [...paths, "--model", "rated", "--device", "cpu", "--threads", "1", "--json"],
    io,
    {},
  );
  expect(code).toBe(1);
  const records = io.stdout.text().trimEnd().split("\n");
  const expected = (await ratingsOf(paths)).map(({ id, ...rating }) => ({ path: id, model: "rated", ...rating }));
  expect(records.map((line) => JSON.parse(line) as unknown)).toEqual(expected);
});
