/**
 * Resident memory of Node and of the worker over a long stream of pictures, each a file of its own.
 *
 * @module
 */
import { rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createMetric } from "../../src/index.js";
import { freshPictures } from "./fresh-pictures.js";
import { childNamed, residentBytes } from "./process-cost.js";

/** Bytes that a process may grow by, once a quarter of the pictures is rated. */
export const GROWTH_LIMIT = 32 * 2 ** 20;
const SIZE = { width: 512, height: 384 };
/** Files kept behind the one that is taken: more than two batches. */
const KEPT = 64;

export interface MemoryCourse {
  readonly process: string;
  /** After a tenth, a quarter, a half, three quarters and all of the pictures. */
  readonly points: readonly { readonly pictures: number; readonly bytes: number }[];
  readonly peak: number;
  /** From the quarter to the greatest value behind it. */
  readonly growth: number;
}

interface MemoryOptions {
  readonly folder: string;
  readonly pictures: number;
}

export async function measureMemory({ folder, pictures }: MemoryOptions): Promise<MemoryCourse[]> {
  const picture = await freshPictures(SIZE);
  async function* files(): AsyncGenerator<string> {
    for (let number = 0; number < pictures; number += 1) {
      const path = join(folder, `memory-${number}.jpg`);
      await writeFile(path, await picture(number));
      yield path;
      await rm(join(folder, `memory-${number - KEPT}.jpg`), { force: true });
    }
  }
  await using metric = await createMetric({ model: "rated", threads: 1 });
  const pids = { Node: process.pid, worker: childNamed("thurstone_runtime") };
  const every = Math.max(1, Math.floor(pictures / 100));
  const course: Record<string, number>[] = [];
  let rated = 0;
  for await (const { code, id, reason } of metric.score(files())) {
    if (code !== undefined && code !== "METRIC_NO_SCORE") throw new Error(`${id} was not asked about: ${reason}`);
    rated += 1;
    if (rated % every !== 0) continue;
    course.push(Object.fromEntries(Object.entries(pids).map(([name, pid]) => [name, residentBytes(pid).now])));
  }
  const at = (share: number): number => Math.max(0, Math.floor(course.length * share) - 1);
  return Object.entries(pids).map(([name, pid]) => {
    const bytes = course.map((point) => point[name]!);
    return {
      process: name,
      points: [0.1, 0.25, 0.5, 0.75, 1].map((share) => ({
        pictures: (at(share) + 1) * every,
        bytes: bytes[at(share)]!,
      })),
      peak: residentBytes(pid).peak,
      growth: Math.max(...bytes.slice(at(0.25))) - bytes[at(0.25)]!,
    };
  });
}
