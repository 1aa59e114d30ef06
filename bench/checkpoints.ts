/**
 * What a checkpoint costs a run: the seconds that training waits for one and the length of the run's steps, when it is
 * written at once, and when it is written beside training from a copy; and the worker's memory.
 *
 *     npm run bench -- checkpoints [--model small,full] [--steps 6] [--json]
 *
 * Each row is a run of `train` on a real worker on this machine's CPU with one thread, with a checkpoint after every step but
 * in the first row of a model, which has none. The models are those of `make_checkpoint --preset mid`, with 512 tokens (30 M
 * parameters) and with 151,936 (108 M). Runs of one model differ in nothing else, and figures of one invocation belong
 * together. Exits with status 1 when training waits longer for a copy than for a checkpoint that is written at once.
 *
 * @module
 */
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { table } from "../src/cli/table.js";
import { defineReward, train } from "../src/index.js";
import type { ConfigInput } from "../src/index.js";
import { findPython } from "../src/python/index.js";
import { freshPictures } from "./support/fresh-pictures.js";

const { values } = parseArgs({
  options: {
    model: { type: "string", default: "small,full" },
    steps: { type: "string", default: "6" },
    json: { type: "boolean", default: false },
  },
});
const steps = Number(values.steps);
const models = values.model.split(",");

const WAYS = {
  none: { save_steps: 1_000_000 },
  "at once": { save_steps: 1, async_save: false },
  beside: { save_steps: 1, async_save: true },
} as const satisfies Record<string, Partial<ConfigInput>>;

interface Row {
  readonly model: string;
  readonly way: keyof typeof WAYS;
  /** Of one checkpoint. */
  readonly bytes: number | null;
  /** Means over checkpoints that training goes on after, of the time that it waits and of that until they are complete. */
  readonly waited: number | null;
  readonly complete: number | null;
  /** From the beginning of the second step to the end of the last, per step. */
  readonly step: number;
  /** The worker's peak, in bytes. */
  readonly peak: number;
}

async function inputs(folder: string, vocabulary: string): Promise<ConfigInput> {
  const { python, pythonPath } = findPython();
  const model = join(folder, vocabulary);
  const args = ["-m", "thurstone_runtime.make_checkpoint", model, "--preset", "mid", "--vocab", vocabulary];
  execFileSync(python, args, { env: { ...process.env, PYTHONPATH: pythonPath }, stdio: "ignore" });
  const images = join(folder, "images");
  mkdirSync(images, { recursive: true });
  const picture = await freshPictures({ width: 112, height: 112 });
  const lines: string[] = [];
  for (let row = 0; row < 8; row += 1) {
    writeFileSync(join(images, `${row}.jpg`), await picture(row));
    const conversations = [
      { from: "human", value: "Rate the picture." },
      { from: "gpt", value: 1 + row / 2 },
    ];
    lines.push(JSON.stringify({ id: row, dataset_name: "bench", image: `${row}.jpg`, conversations }));
  }
  writeFileSync(join(folder, "train.jsonl"), `${lines.join("\n")}\n`);
  return {
    model_name_or_path: model,
    data_file_paths: join(folder, "train.jsonl"),
    image_folders: images,
    prompts_per_step: 2,
    num_generations: 2,
    max_completion_length: 24,
    max_steps: steps,
    learning_rate: 1e-6,
    beta: 0,
    device: "cpu",
    worker_threads: 1,
    log_completions: false,
  };
}

const mean = (numbers: readonly number[]): number => numbers.reduce((total, one) => total + one, 0) / numbers.length;

async function measure(model: string, way: keyof typeof WAYS, config: ConfigInput, folder: string): Promise<Row> {
  const reward = defineReward({ name: "varied", score: ({ completion }) => completion.tokenIds[0]! % 7 });
  const output = join(folder, `${model} ${way}`);
  let [begun, ended] = [0, 0];
  const callbacks = {
    onStep({ step }: { readonly step: number }) {
      if (step === 1) begun = performance.now();
      if (step === steps) ended = performance.now();
    },
  };
  const run = train({ ...config, ...WAYS[way], output_dir: output }, { rewards: { varied: reward }, callbacks });
  const saved: { readonly step: number; readonly seconds: number; readonly waitedSeconds: number }[] = [];
  for await (const event of run) if (event.type === "checkpoint-end" && event.step < steps) saved.push(event);
  const { peakMemory } = await run.result;
  const bytes = way === "none" ? null : sizeOf(join(output, "checkpoints/step_000001"));
  rmSync(output, { recursive: true });
  return {
    model,
    way,
    bytes,
    waited: way === "none" ? null : mean(saved.map(({ waitedSeconds }) => waitedSeconds)),
    complete: way === "none" ? null : mean(saved.map(({ seconds }) => seconds)),
    step: (ended - begun) / 1000 / (steps - 1),
    peak: peakMemory.worker,
  };
}

function sizeOf(folder: string): number {
  return Number(execFileSync("du", ["-sb", folder], { encoding: "utf8" }).split("\t")[0]);
}

const folder = mkdtempSync(join(tmpdir(), "thurstone-checkpoints-"));
try {
  const rows: Row[] = [];
  for (const model of models) {
    const config = await inputs(folder, model);
    for (const way of Object.keys(WAYS) as (keyof typeof WAYS)[]) {
      process.stderr.write(`checkpoints  ${model}  ${way}\n`);
      rows.push(await measure(model, way, config, folder));
      process.stderr.write(`${JSON.stringify(rows.at(-1))}\n`);
    }
  }
  const shown = (value: number | null, digits = 2): string => (value === null ? "-" : value.toFixed(digits));
  const mib = (bytes: number | null): string => (bytes === null ? "-" : (bytes / 2 ** 20).toFixed(0));
  const lines = rows.map(({ model, way, bytes, waited, complete, step, peak }) => {
    const [none, atOnce] = ["none", "at once"].map((other) =>
      rows.find((one) => one.model === model && one.way === other)!,
    );
    return [
      model,
      way,
      mib(bytes),
      shown(waited),
      waited === null ? "-" : shown(waited / atOnce!.waited!),
      shown(complete),
      shown(step),
      shown(step / none!.step),
      mib(peak),
      shown(peak / none!.peak),
    ];
  });
  const header = [
    "model",
    "written",
    "MiB",
    "waits s",
    "ratio",
    "complete s",
    "step s",
    "ratio",
    "worker MiB",
    "ratio",
  ];
  process.stdout.write(`${(values.json ? [JSON.stringify(rows)] : table(header, lines)).join("\n")}\n`);
  const waitedOf = (model: string, way: string): number =>
    rows.find((row) => row.model === model && row.way === way)!.waited!;
  process.exitCode = models.every((model) => waitedOf(model, "beside") <= waitedOf(model, "at once")) ? 0 : 1;
} finally {
  rmSync(folder, { recursive: true });
}
