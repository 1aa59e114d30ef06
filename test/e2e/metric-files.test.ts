/** Files as they come, through a real worker: what cannot be scored is a record with a code, and the rest is scored. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import sharp from "sharp";
import type { Sharp } from "sharp";
import { afterAll, beforeAll, expect, it } from "vitest";
import { runScoreCommand } from "../../src/cli/score.js";
import { createMetric } from "../../src/trainer/index.js";
import type { Metric, MetricInput, Rating, ScoreOptions } from "../../src/trainer/index.js";
import { commandIo } from "../cli/outputs.js";
import { workersOf } from "./run-child.js";
import { startSharedWorker } from "./shared-worker.js";
import type { SharedWorker } from "./shared-worker.js";

const ASSETS = resolve(import.meta.dirname, "../../assets");
const MAIN = resolve(ASSETS, "../src/cli/main.ts");
const PHOTO = join(ASSETS, "photos/astronaut.jpg");

let folder: string;
let worker: SharedWorker;
let metric: Metric;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "thurstone-metric-"));
  worker = await startSharedWorker({ model_name_or_path: join(ASSETS, "rated") });
  metric = await createMetric({ model: "rated", device: "cpu", threads: 1, connect: worker.connect });
});
afterAll(async () => {
  await worker.stop();
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

interface Scored {
  readonly code: number;
  readonly records: (Omit<Rating, "id"> & { readonly path: string; readonly model: string })[];
  readonly err: string;
}

/** `thurstone score` in the folder, on the worker that is there. */
async function score(...args: readonly string[]): Promise<Scored> {
  const io = commandIo(folder);
  const asked = ["--model", "rated", "--device", "cpu", "--threads", "1", "--json"];
  const code = await runScoreCommand([...args, ...asked], io, { connect: worker.connect });
  const lines = io.stdout.text().trimEnd().split("\n");
  return { code, records: lines.map((line) => JSON.parse(line) as Scored["records"][number]), err: io.stderr.text() };
}

it(
  "scores of a folder what its rules allow, names what they do not, and keeps the order",
  { timeout: 120_000 },
  async () => {
    await mkdir(join(folder, "files"));
    for (const [name, content] of FILES) await writeFile(join(folder, "files", name), await content());
    const { code, records, err } = await score("files");
    expect(code).toBe(1);
    const sorted = FILES.toSorted(([one], [other]) => (one < other ? -1 : 1));
    const expected = sorted.map(([name, , problem]) => [join("files", name), problem]);
    expect(expected).toHaveLength(16);
    expect(records.map((record) => [record.path, record.code ?? null])).toEqual(expected);
    for (const { score: value, std, code: problem, reason, path } of records) {
      if (problem === undefined) {
        expect(value).toBeGreaterThanOrEqual(1);
        expect(value).toBeLessThanOrEqual(5);
        expect(std).toBeGreaterThan(0);
      } else {
        expect([value, std]).toEqual([null, null]);
        expect(reason).toContain(path);
      }
    }
    const of = (name: string): object => ({ ...records.find(({ path }) => path === join("files", name)), path: "" });
    expect(of("last.jpg")).toEqual(of("photo.jpg"));
    expect(err).toMatch(/^rated +16 +8 +\d\.\d{3} +\d\.\d{3} +[\d.]+$/m);
  },
);

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
  const { code, records } = await score(...paths);
  expect(code).toBe(1);
  expect(records).toEqual(
    (await ratingsOf(paths)).map(({ id, ...rating }) => ({ path: id, model: "rated", ...rating })),
  );
});

it("ends quietly when its reader has gone, and leaves no worker behind", async () => {
  const photos = join(ASSETS, "photos");
  const child = spawn(
    process.execPath,
    ["--import", "tsx", MAIN, "score", photos, "--model", "rated", "--json", "--batch", "1", "--threads", "1"],
    { stdio: ["ignore", "pipe", "pipe"] },
  );
  let told = "";
  child.stderr.on("data", (chunk) => (told += String(chunk)));
  const [line] = (await once(child.stdout, "data")) as [Buffer];
  const workers = workersOf(child.pid!);
  child.stdout.destroy();
  const [code] = (await once(child, "close")) as [number];
  expect(JSON.parse(String(line).split("\n")[0]!)).toMatchObject({ model: "rated", status: "ok" });
  expect(code).toBe(141);
  expect(told).not.toMatch(/EPIPE|Error|stopped|scored/);
  expect(workers).toHaveLength(1);
  expect(() => process.kill(workers[0]!, 0)).toThrow("ESRCH");
});
