import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { stringify } from "yaml";
import { runCommandLine } from "../../src/cli/program.js";
import { resultText } from "../../src/cli/result-text.js";
import { advance, INITIAL_PROGRESS, plainLine, render } from "../../src/cli/progress.js";
import type { ResolvedSftConfig, RunPlan } from "../../src/config/index.js";
import type { SftMetrics, TrainerEvent } from "../../src/index.js";
import { createDataSet } from "../support/data-set.js";
import type { DataSet } from "../support/data-set.js";
import { commandIo } from "./outputs.js";

let set: DataSet;
let file: string;
beforeAll(async () => {
  set = await createDataSet();
  file = join(set.folder, "sft.yaml");
  writeFileSync(
    file,
    stringify({
      model_name_or_path: "none",
      data_file_paths: [set.data],
      image_folders: [set.images],
      output_dir: join(set.folder, "run"),
      per_device_train_batch_size: 2,
      gradient_accumulation_steps: 2,
      num_train_epochs: 3,
      packing: true,
      max_seq_length: 300,
    }),
  );
});
afterAll(() => set.remove());

async function thurstone(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  const io = commandIo(set.folder);
  const code = await runCommandLine(["sft", ...args], io);
  return { code, out: io.stdout.text(), err: io.stderr.text() };
}

describe("thurstone sft --dry-run", () => {
  it("prints the plan of files and flags and starts nothing", async () => {
    const { code, out, err } = await thurstone(file, "--dry-run", "--lr_scheduler_type", "cosine");
    expect([code, err]).toEqual([0, ""]);
    expect(out).toMatch(/^ {2}lr_scheduler_type +"cosine"$/m);
    expect(out).toMatch(/^ {2}tiny: 8 rows$/m);
    expect(out).toMatch(/^ {2}an example: at most 300 tokens$/m);
    expect(out).toMatch(/^ {2}an update: 2 x 2 = 4 rows, every answer of theirs$/m);
    expect(out).toMatch(/^ {2}a forward and backward pass: at most 300 tokens, each prompt once$/m);
    expect(out).toMatch(/^ {2}6 steps, an update each$/m);
    expect(out).toMatch(/^ {2}unknown: none is no folder with a config.json of /m);
  });

  it("says how passes are filled without packing, and what is left over", async () => {
    const { out } = await thurstone(file, "--dry-run", "--packing", "false", "--num_train_epochs", "0.8");
    expect(out).toMatch(
      /^ {2}a forward and backward pass: at most 2 answers and about 256 MiB of activations, whole groups$/m,
    );
    expect(out).toMatch(/^ {2}2 rows left over after the last full update$/m);
  });

  it("gives the resolved configuration and the plan as JSON", async () => {
    const { out } = await thurstone(file, "--dry-run", "--json");
    const { config, plan } = JSON.parse(out) as { config: ResolvedSftConfig; plan: RunPlan };
    expect(config).toMatchObject({ packing: true, max_seq_length: 300 });
    expect(config).not.toHaveProperty("num_generations");
    expect(plan).toMatchObject({ steps: 6, rollouts: 6, promptsPerStep: 4, updatesPerRollout: 1 });
  });
});

describe("thurstone sft", () => {
  it("names all that is wrong with files and flags at once, and fails", async () => {
    const { code, out, err } = await thurstone(file, "--beta", "0.1", "--num_generations", "4", "--packin");
    expect([code, out]).toEqual([1, ""]);
    expect(err).toContain("--beta  beta cannot matter here");
    expect(err).toContain("--num_generations  num_generations cannot matter here");
    expect(err).toContain('unknown key "packin"; did you mean "packing"?');
  });

  it("has nothing to probe", async () => {
    const { code, err } = await thurstone(file, "--probe");
    expect(code).toBe(1);
    expect(err).toMatch(/^ConfigError CONFIG_FLAG {2}--probe shows sampled completions and rewards, and sft has none/);
  });

  it("explains itself, with the keys it reads and no others", async () => {
    const { code, out } = await thurstone("--help");
    expect(code).toBe(0);
    expect(out).toMatch(/^Usage: thurstone sft/);
    expect(out).toContain("--max_seq_length");
    expect(out).not.toContain("--num_generations");
  });
});

const metrics: SftMetrics = { epoch: 1, loss: 0.5, entropy: 1.25, grad_norm: 2, learning_rate: 1e-4, num_tokens: 88 };
const timings = {
  total: 2,
  worker: 1.9,
  bridge: 0,
  control: 0.1,
  encode: 0,
  generate: 0,
  rewards: 0,
  update: 2,
  bytesSent: 0,
  bytesReceived: 0,
};

describe("what a supervised run shows", () => {
  const stepEnd: TrainerEvent<SftMetrics> = {
    type: "step-end",
    step: 2,
    steps: 4,
    epoch: 1,
    metrics,
    timings,
    sample: null,
  };
  const evalEnd: TrainerEvent<SftMetrics> = { type: "eval-end", step: 2, results: [], loss: 0.75 };

  it("in the live view: the loss, and the loss of held-out answers", () => {
    const state = [stepEnd, evalEnd].reduce(advance, INITIAL_PROGRESS);
    expect(render(state, 80).slice(1, 4)).toEqual([
      "loss 0.5  entropy 1.25  grad_norm 2  lr 1.00e-4  tokens 88",
      "worker 95 %, bridge 0 %, TypeScript 5 %, 0 MB",
      "held out: loss 0.75",
    ]);
  });

  it("in a pipe, line by line", () => {
    const state = advance(INITIAL_PROGRESS, stepEnd);
    expect(plainLine(state, evalEnd)).toBe("step 2  held out: loss 0.75");
    expect(plainLine(state, stepEnd)).toMatch(/^step 2\/4 {2}loss 0\.5 {2}entropy 1\.25/);
  });

  it("at the end", () => {
    const lines = resultText({
      folder: "/out",
      step: 4,
      steps: 4,
      reason: "finished",
      model: "/out/model",
      modelStep: 4,
      metrics,
      evaluations: [
        { step: 0, results: [], loss: 1.5 },
        { step: 4, results: [], loss: 0.75 },
      ],
      secondsPerStep: 2,
      controlSecondsPerStep: 0.1,
      peakMemory: { node: 0, worker: 0 },
    });
    expect(lines.slice(0, 5)).toEqual([
      "finished after step 4 of 4",
      "loss 0.5",
      "step  held-out loss",
      "   0            1.5",
      "   4           0.75",
    ]);
  });
});
