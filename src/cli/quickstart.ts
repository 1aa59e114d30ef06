/**
 * `thurstone quickstart`: everything from nothing on a laptop. Degrades the bundled photographs, makes a small checkpoint
 * with random weights, teaches it the layout of an answer, and trains it with GRPO.
 *
 * @module
 */
import { rm } from "node:fs/promises";
import { join, resolve } from "node:path";
import { loadConfig, parseFlags } from "../config/index.js";
import type { ResolvedConfig } from "../config/index.js";
import { loadRows, writeQuickstartSet } from "../data/index.js";
import { callPython, PACKAGE_ROOT } from "../python/index.js";
import { exportModel, openPolicy, teachFormat, train } from "../trainer/index.js";
import { followRun } from "./follow-run.js";
import { EXIT } from "./io.js";
import type { Command, CommandIo } from "./io.js";
import { quickstartText } from "./quickstart-text.js";

const USAGE = `Usage: thurstone quickstart [--folder output/quickstart] [--json] [--key value ...]

Trains a small model on the bundled photographs in a few minutes: no download, no GPU. Everything goes into the folder:
data, checkpoints and the run. Other flags change the settings of configs/quickstart.yaml, for example --max_steps 20.
`;

/** Learning rate of the supervised steps that teach the layout of an answer. */
const TEACHING_RATE = 1e-3;

export const quickstartCommand: Command = async (args, io) => {
  if (args.includes("--help") || args.includes("-h")) {
    io.stdout.write(USAGE);
    return EXIT.done;
  }
  const json = args.includes("--json");
  const rest = args.filter((argument) => argument !== "--json");
  const { folder: asked = "output/quickstart", ...flags } = parseFlagsWithFolder(rest);
  const folder = resolve(io.cwd, asked);
  const say = (line: string): void => void io.stderr.write(`${line}\n`);
  const started = performance.now();

  const config = await loadConfig([join(PACKAGE_ROOT, "configs/quickstart.yaml")], {
    data_file_paths: [join(folder, "data/train.jsonl")],
    eval_data_file_paths: [join(folder, "data/heldout.jsonl")],
    model_name_or_path: join(folder, "start"),
    output_dir: join(folder, "run"),
    overwrite_output_dir: true,
    ...flags,
  });
  await makeData(folder, config.seed, say);
  const taught = await makeStart(folder, config, say);
  const result = await followRun((options) => train(config, options), io);
  const seconds = (performance.now() - started) / 1000;
  const text = json
    ? JSON.stringify({ taught, seconds, ...result })
    : quickstartText({ result, taught, seconds }).join("\n");
  io.stdout.write(`${text}\n`);
  return EXIT.done;
};

function parseFlagsWithFolder(args: readonly string[]): { folder?: string } & Record<string, unknown> {
  const at = args.indexOf("--folder");
  if (at < 0 || args[at + 1] === undefined) return parseFlags(args);
  return { ...parseFlags([...args.slice(0, at), ...args.slice(at + 2)]), folder: args[at + 1]! };
}

async function makeData(folder: string, seed: number, say: (line: string) => void): Promise<void> {
  const set = await writeQuickstartSet({
    photosDir: join(PACKAGE_ROOT, "assets/photos"),
    meansFile: join(PACKAGE_ROOT, "assets/kadid/means.json"),
    outDir: join(folder, "data"),
    seed,
  });
  say(`data: ${set.trainRows} pictures to train on, ${set.heldOutRows} of other photographs held out`);
}

/** A checkpoint that writes answers of the right layout about half the time, with scores that mean nothing. */
async function makeStart(
  folder: string,
  config: ResolvedConfig,
  say: (line: string) => void,
): Promise<{ readonly steps: number; readonly rate: number }> {
  const random = join(folder, "random");
  await rm(random, { recursive: true, force: true });
  await callPython({
    module: "thurstone_runtime.make_checkpoint",
    function: "make_checkpoint",
    args: [random, "tiny", config.seed],
  });
  say("start: a small Qwen2.5-VL with random weights; teaching it the layout of an answer, with made-up scores");

  const teaching = { ...config, model_name_or_path: random, output_dir: folder, beta: 0 };
  await using policy = await openPolicy(teaching);
  const rows = await loadRows(config);
  const prompts = await policy.encode(rows.filter((_, index) => index % 8 === 0));
  const taught = await teachFormat(policy, prompts, {
    seed: config.seed,
    learningRate: TEACHING_RATE,
    onCheck: ({ step, rate, loss }) =>
      say(
        `  step ${step}: ${Math.round(100 * rate)} % of sampled answers have the right layout, loss ${loss.toFixed(3)}`,
      ),
  });
  await exportModel(policy, join(folder, "start"));
  return taught;
}
