/**
 * What a quickstart begins with: degraded photographs, and a small checkpoint that knows the layout of an answer.
 *
 * @module
 */
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { loadConfig } from "../config/index.js";
import type { ResolvedConfig } from "../config/index.js";
import { loadRows, writeQuickstartSet } from "../data/index.js";
import { callPython, PACKAGE_ROOT } from "../python/index.js";
import { exportModel, openPolicy, teachFormat } from "../trainer/index.js";
import type { TeachFormatResult } from "../trainer/index.js";

/** Learning rate of the supervised steps that teach the layout of an answer. */
const TEACHING_RATE = 1e-3;

/** The configuration of a quickstart in `folder`. */
export async function quickstartConfig(
  folder: string,
  overrides: Readonly<Record<string, unknown>> = {},
): Promise<ResolvedConfig> {
  return loadConfig([join(PACKAGE_ROOT, "configs/quickstart.yaml")], {
    data_file_paths: [join(folder, "data/train.jsonl")],
    eval_data_file_paths: [join(folder, "data/test.jsonl")],
    model_name_or_path: join(folder, "start"),
    output_dir: join(folder, "run"),
    overwrite_output_dir: true,
    ...overrides,
  });
}

/** Degrades the bundled photographs into `folder`/data. */
export async function makeData(folder: string, seed: number, say: (line: string) => void): Promise<void> {
  const set = await writeQuickstartSet({
    photosDir: join(PACKAGE_ROOT, "assets/photos"),
    meansFile: join(PACKAGE_ROOT, "assets/kadid/means.json"),
    outDir: join(folder, "data"),
    seed,
  });
  say(`data: ${set.train.rows} pictures to train on, ${set.test.rows} of other photographs held out`);
}

/** Makes `folder`/start: a checkpoint that writes answers of the right layout about half the time, with scores that mean nothing. */
export async function makeStart(
  folder: string,
  config: ResolvedConfig,
  say: (line: string) => void,
): Promise<TeachFormatResult> {
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
