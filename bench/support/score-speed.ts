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
import { childNamed, cpuSeconds } from "./process-cost.js";

/** Least speed as a stream, as a share of what overlapping could give at best, on a machine with cores for all of it. */
export const SPEED_LIMIT = 0.8;
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
  /** The longer of decoding and all the rest of `apart`: nothing waits for anything but the slower of the two. */
  readonly best: number;
  /** Processors that Node and the worker had busy in a stream. */
  readonly busy: number;
}

type Part = "decode" | "apart" | "together" | "best";

interface SpeedOptions {
  readonly folder: string;
  readonly rounds: number;
}

export async function measureSpeed({ folder, rounds }: SpeedOptions): Promise<Speed[]> {
  const speeds: Speed[] = [];
  let number = 0;
  for (const [mode, options] of MODES) {
    await using metric = await createMetric({ model: "rated", threads: 1, ...options });
    const pids = [process.pid, childNamed("thurstone_runtime")];
    const cpu = (): number => pids.reduce((total, pid) => total + cpuSeconds(pid), 0);
    for (const size of SIZES) {
      const count = Math.max(BATCH * 4, Math.round((COUNT * 512 * 384) / (size.width * size.height) / BATCH) * BATCH);
      const picture = await freshPictures(size);
      const files = async (): Promise<string[]> => {
        const paths = Array.from({ length: count }, (_, index) => join(folder, `${index}.jpg`));
        for (const path of paths) await writeFile(path, await picture((number += 1)));
        return paths;
      };
      const measured: Record<Part | "busy", number>[] = [];
      // One round more, to warm up.
      for (let round = 0; round <= rounds; round += 1) {
        const decode = await secondsOf(await files(), decodeAll);
        const apart = await secondsOf(await files(), (stream) => rateApart(metric, stream));
        const paths = await files();
        const before = cpu();
        const together = await secondsOf(paths, (stream) => rate(metric, stream));
        const busy = (cpu() - before) / together;
        if (round > 0) measured.push({ decode, apart, together, busy, best: Math.max(decode, apart - decode) });
      }
      const median = (name: Part | "busy"): number =>
        percentile(
          measured.map((one) => one[name]),
          0.5,
        );
      const perSecond = (name: Part): number => count / median(name);
      speeds.push({
        mode,
        size: `${size.width} x ${size.height}`,
        decode: perSecond("decode"),
        apart: perSecond("apart"),
        together: perSecond("together"),
        best: perSecond("best"),
        busy: median("busy"),
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
