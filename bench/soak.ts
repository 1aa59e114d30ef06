/**
 * Memory of both processes over a long run of a very small model.
 *
 *     npm run bench -- soak [--steps 2000] [--json]
 *
 * Every step does what a run's does: pictures, sampling, rewards, an update, logs, and now and then a checkpoint and an
 * evaluation. Memory is read a hundred times: resident pages that belong to no file, in Node after a garbage collection and
 * without the space of new objects, which grows up to 48 MiB and shrinks with the speed of the run. The table has medians over
 * tenths of the run. What a process has in the last quarter may be so much more than in the second, in which caches are full:
 * 3 % for the worker, 5 % for Node. Exits with status 1 when a limit is missed. Linux only.
 *
 * @module
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { getHeapSpaceStatistics, setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { table } from "../src/cli/table.js";
import { train } from "../src/index.js";
import { percentile } from "./support/measure.js";
import { variedReward } from "./support/fault-runs.js";
import { childNamed, residentBytes } from "./support/process-cost.js";
import { makeSmallRun } from "./support/small-run.js";

/** Most growth from the second quarter to the last. */
const LIMITS = { worker: 0.03, node: 0.05 };

const { values } = parseArgs({
  options: { steps: { type: "string", default: "2000" }, json: { type: "boolean", default: false } },
});
const steps = Number(values.steps);
const every = Math.max(1, Math.floor(steps / 100));

/** Bytes. */
interface Reading {
  readonly step: number;
  readonly seconds: number;
  readonly worker: number;
  readonly node: number;
  /** The part of Node's memory that holds JavaScript values. */
  readonly heap: number;
}

setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc") as () => void;

async function readings(folder: string): Promise<Reading[]> {
  const found: Reading[] = [];
  const started = performance.now();
  const config = {
    ...(await makeSmallRun(folder)),
    output_dir: join(folder, "run"),
    max_steps: steps,
    val_split_ratio: 0.25,
    save_steps: 100,
    save_total_limit: 2,
    eval_steps: 200,
    report_to: "tensorboard",
  } as const;
  const run = train(config, {
    rewards: { varied: variedReward },
    callbacks: {
      onStep({ step }) {
        if (step % every !== 0) return;
        collect();
        const { heapUsed: heap } = process.memoryUsage();
        const young = getHeapSpaceStatistics().find(({ space_name: name }) => name === "new_space")!;
        const node = residentBytes(process.pid).own - young.physical_space_size;
        const worker = residentBytes(childNamed("thurstone_runtime")).own;
        found.push({ step, seconds: (performance.now() - started) / 1000, worker, node, heap });
        if (step % 100 === 0) process.stderr.write(`soak  step ${step} of ${steps}\n`);
      },
    },
  });
  await run.result;
  return found;
}

const parts = (all: readonly Reading[], count: number): Reading[][] =>
  Array.from({ length: count }, (_, part) => all.filter(({ step }) => Math.ceil((step / steps) * count) - 1 === part));
const middle = (all: readonly Reading[], key: keyof Reading): number =>
  percentile(
    all.map((reading) => reading[key]),
    0.5,
  );
const mib = (bytes: number): string => (bytes / 2 ** 20).toFixed(1);

const folder = mkdtempSync(join(tmpdir(), "thurstone-soak-"));
try {
  const all = await readings(folder);
  const quarters = parts(all, 4);
  const growth = (key: "worker" | "node"): number => middle(quarters[3]!, key) / middle(quarters[1]!, key) - 1;
  const lines = parts(all, 10).map((tenth) => [
    String(tenth.at(-1)!.step),
    tenth.at(-1)!.seconds.toFixed(0),
    ...(["worker", "node", "heap"] as const).map((key) => mib(middle(tenth, key))),
  ]);
  const grown = (["worker", "node"] as const).map((key) => ({ key, value: growth(key), limit: LIMITS[key] }));
  const verdicts = grown.map(({ key, value, limit }) => {
    const percent = (share: number): string => `${(100 * share).toFixed(1)} %`;
    return `${key}: ${percent(value)} from the second quarter to the last, limit ${percent(limit)}: ${value <= limit ? "met" : "MISSED"}`;
  });
  const header = ["step", "seconds", "worker MiB", "Node MiB", "of it heap"];
  const text = values.json ? [JSON.stringify(all)] : [...table(header, lines), "", ...verdicts];
  process.stdout.write(`${text.join("\n")}\n`);
  process.exitCode = grown.every(({ value, limit }) => value <= limit) ? 0 : 1;
} finally {
  rmSync(folder, { recursive: true });
}
