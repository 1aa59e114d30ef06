/**
 * What TypeScript alone costs per step of a run: 24 prompts with a picture each, 6 completions of 100 tokens; with several
 * ranks four prompts for each of them.
 *
 *     npm run bench -- control-plane [--ranks 64] [--epochs 12] [--json]
 *
 * Fake workers answer in this process. The time in their verbs is left out, everything else of a step counts: packing and
 * unpacking of messages on both ends, rewards, batches, logs. In the first epoch every picture is decoded, copied into the
 * run folder and sent; in later ones a single worker has them, and several meet most of them for the first time, since
 * every epoch deals them out anew. Those are made ready for the next step while the workers are busy with this one, so with
 * several ranks sampling takes ten seconds, which are left out as well; steps of 30 s leave three times as long. Exits with
 * status 1 when the limit of the last column is missed.
 *
 * @module
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import sharp from "sharp";
import { formatNumber, table } from "../src/cli/table.js";
import type { Caller } from "../src/bridge/index.js";
import { train } from "../src/index.js";
import type { ConfigInput } from "../src/index.js";
import { foldKey, uniform } from "../src/stats/index.js";
import { createFakeWorker } from "../src/testing/index.js";
import { percentile } from "./support/measure.js";

const { values } = parseArgs({
  options: {
    ranks: { type: "string", default: "1" },
    epochs: { type: "string", default: "12" },
    json: { type: "boolean", default: false },
  },
});
const RANKS = Number(values.ranks);
const PROMPTS = RANKS === 1 ? 24 : 4 * RANKS;
const COMPLETIONS = 6;
const TOKENS = 100;
const STEPS_PER_EPOCH = RANKS === 1 ? 4 : 2;
/** Milliseconds that sampling takes. */
const PAUSE = RANKS === 1 ? 0 : 10_000;
/** Most milliseconds of TypeScript alone per step, half of the steps; with several ranks 2 % of a step of 30 s. */
const LIMIT = RANKS === 1 ? 15 : 0.02 * 30_000;

/** A data set of pictures in KADID's size. */
async function makeData(folder: string): Promise<ConfigInput> {
  const images = join(folder, "images");
  mkdirSync(images);
  const lines: string[] = [];
  for (let row = 0; row < PROMPTS * STEPS_PER_EPOCH; row += 1) {
    const [r, g, b] = [0, 1, 2].map((channel) => 256 * uniform(foldKey(1, row, channel)));
    const background = { r: r!, g: g!, b: b! };
    await sharp({ create: { width: 512, height: 384, channels: 3, background } })
      .png()
      .toFile(join(images, `${row}.png`));
    const conversations = [
      { from: "human", value: "How good is the quality of this picture?" },
      { from: "gpt", value: 1 + 4 * uniform(foldKey(2, row)) },
    ];
    lines.push(JSON.stringify({ id: row, dataset_name: "bench", image: `${row}.png`, conversations }));
  }
  writeFileSync(join(folder, "train.jsonl"), lines.join("\n"));
  return {
    model_name_or_path: "none",
    data_file_paths: join(folder, "train.jsonl"),
    image_folders: images,
    output_dir: join(folder, "run"),
    num_processes: RANKS,
    prompts_per_step: PROMPTS,
    num_generations: COMPLETIONS,
    num_train_epochs: Number(values.epochs),
    save_steps: 1_000_000,
  };
}

/** An answer of 100 tokens; the fake's tokens are bytes, and the last one ends the turn. */
function answer(draw: number): string {
  const end = `</think><answer>${(1 + 4 * draw).toFixed(2)}</answer>`;
  const begin = "<think>";
  return begin + "x".repeat(TOKENS - 1 - begin.length - end.length) + end;
}

interface StepCost {
  /** Milliseconds of the step that were not the fake's. */
  readonly alone: number;
  /** Milliseconds that the run itself tells as TypeScript alone. */
  readonly told: number;
  /** Milliseconds of processor time of the whole process, the fake's included: a busy machine stretches the other two. */
  readonly processor: number;
}

async function measure(): Promise<StepCost[]> {
  const folder = mkdtempSync(join(tmpdir(), "thurstone-bench-"));
  try {
    const worker = createFakeWorker({ ranks: RANKS, complete: ({ draw }) => answer(draw) });
    const connect = async () => {
      const connection = await worker.connect();
      const callers = connection.callers.map((caller): Caller => ({
        close: () => caller.close(),
        async call(method, params, options) {
          if (method === "generate") await sleep(PAUSE);
          return caller.call(method, params, options);
        },
      }));
      return { ...connection, callers, rendezvous: null };
    };
    const run = train(await makeData(folder), { connect });
    const costs: StepCost[] = [];
    const read = () => ({ fake: worker.seconds, processor: process.cpuUsage() });
    let before = read();
    for await (const event of run) {
      if (event.type === "run-start") before = read();
      if (event.type !== "step-end") continue;
      const { total, control } = event.timings;
      const { user, system } = process.cpuUsage(before.processor);
      costs.push({
        alone: 1000 * (total - (worker.seconds - before.fake)) - PAUSE,
        told: 1000 * control,
        processor: (user + system) / 1000,
      });
      before = read();
    }
    await run.result;
    return costs;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

const costs = await measure();
const first = costs.slice(0, STEPS_PER_EPOCH);
const later = costs.slice(STEPS_PER_EPOCH);
const row = (name: string, of: readonly number[], limit: number | null) => ({
  name,
  steps: of.length,
  p50: percentile(of, 0.5),
  p90: percentile(of, 0.9),
  limit,
});
const rows = [
  row(
    "first epoch",
    first.map(({ alone }) => alone),
    null,
  ),
  row(
    "later epochs",
    later.map(({ alone }) => alone),
    LIMIT,
  ),
  row(
    "later epochs, as the run tells it",
    later.map(({ told }) => told),
    null,
  ),
  row(
    "later epochs, processor time with the fake's",
    later.map(({ processor }) => processor),
    null,
  ),
];
const header = ["milliseconds of TypeScript alone per step", "steps", "p50", "p90", "limit of p50"];
const cells = rows.map(({ name, steps, p50, p90, limit }) => [
  name,
  String(steps),
  p50.toFixed(2),
  p90.toFixed(2),
  limit === null ? "-" : `<= ${formatNumber(limit)}`,
]);
console.log(values.json ? JSON.stringify(rows) : table(header, cells).join("\n"));
process.exitCode = rows.every(({ p50, limit }) => limit === null || p50 <= limit) ? 0 : 1;
