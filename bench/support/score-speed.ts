/**
 * Pictures per second of scoring, beside decoding alone and beside the same without overlap.
 *
 * @module
 */
import { writeFile } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { createGate, decodeImage } from "../../src/images/index.js";
import { createMetric } from "../../src/index.js";
import type { Metric, MetricOptions } from "../../src/index.js";
import { freshPictures } from "./fresh-pictures.js";
import type { PictureSize } from "./fresh-pictures.js";
import { percentile } from "./measure.js";

/** Least speed as a stream, as a share of that of one batch after the other: reading ahead must not cost anything. */
export const SPEED_LIMIT = 0.95;
const BATCH = 8;
/** Pictures of one measurement. */
const COUNT = 96;
const SIZES: readonly PictureSize[] = [
  { width: 512, height: 384 },
  { width: 1024, height: 768 },
  { width: 4000, height: 3000 },
];
/** What the command line's modes are. The bundled checkpoint was taught one question, so that fast and reasoning are one. */
const MODES: readonly (readonly [string, Pick<MetricOptions, "mode" | "samples">])[] = [
  ["expected", { mode: "expected" }],
  ["fast = reasoning", { mode: "greedy" }],
  ["reasoning, 6 samples", { mode: "sampled", samples: 6 }],
];

/** Pictures per second. */
export interface Speed {
  readonly mode: string;
  readonly size: string;
  readonly decode: number;
  /** One batch after the other. */
  readonly apart: number;
  /** As a stream. */
  readonly together: number;
}

type Part = "decode" | "apart" | "together";

interface SpeedOptions {
  readonly folder: string;
  readonly rounds: number;
}

export async function measureSpeed({ folder, rounds }: SpeedOptions): Promise<Speed[]> {
  const speeds: Speed[] = [];
  let number = 0;
  for (const [mode, options] of MODES) {
    await using metric = await createMetric({ model: "rated", threads: 1, ...options });
    for (const size of SIZES) {
      const count = Math.max(BATCH * 4, Math.round((COUNT * 512 * 384) / (size.width * size.height) / BATCH) * BATCH);
      const picture = await freshPictures(size);
      const files = async (): Promise<string[]> => {
        const paths = Array.from({ length: count }, (_, index) => join(folder, `${index}.jpg`));
        for (const path of paths) await writeFile(path, await picture((number += 1)));
        return paths;
      };
      const measured: Record<Part, number>[] = [];
      // One round more, to warm up.
      for (let round = 0; round <= rounds; round += 1) {
        const decode = await secondsOf(await files(), decodeAll);
        const apart = await secondsOf(await files(), (paths) => rateApart(metric, paths));
        const together = await secondsOf(await files(), (paths) => rate(metric, paths));
        if (round > 0) measured.push({ decode, apart, together });
      }
      const median = (name: Part): number => {
        const seconds = measured.map((one) => one[name]);
        return count / percentile(seconds, 0.5);
      };
      speeds.push({
        mode,
        size: `${size.width} x ${size.height}`,
        decode: median("decode"),
        apart: median("apart"),
        together: median("together"),
      });
    }
  }
  return speeds;
}

async function secondsOf(paths: readonly string[], work: (paths: readonly string[]) => Promise<void>): Promise<number> {
  const began = performance.now();
  await work(paths);
  return (performance.now() - began) / 1000;
}

async function decodeAll(paths: readonly string[]): Promise<void> {
  const gate = createGate(availableParallelism());
  // Not all results at once: that would be memory instead of speed.
  await Promise.all(paths.map((path) => gate(async () => void (await decodeImage(path)))));
}

async function rateApart(metric: Metric, paths: readonly string[]): Promise<void> {
  for (let first = 0; first < paths.length; first += BATCH) await rate(metric, paths.slice(first, first + BATCH));
}

async function rate(metric: Metric, paths: readonly string[]): Promise<void> {
  for await (const { code, id, reason } of metric.score(paths, { batch: BATCH })) {
    // An answer without a score takes its time as well.
    if (code !== undefined && code !== "METRIC_NO_SCORE") throw new Error(`${id} was not asked about: ${reason}`);
  }
}
