/**
 * The start of `bench/learning.ts`: a checkpoint with random weights that was taught the layout of an answer and nothing
 * else, and the settings it is trained with.
 *
 * @module
 */
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { makeData, quickstartConfig } from "../../src/cli/quickstart.js";
import type { ResolvedConfig } from "../../src/config/index.js";
import { loadRows } from "../../src/data/index.js";
import { callPython } from "../../src/python/index.js";
import { exportModel, openPolicy } from "../../src/trainer/index.js";
import { teachFormat } from "./teach-format.js";

/** Learning rate of the supervised steps that teach the layout of an answer. */
const TEACHING_RATE = 1e-3;

/** Settings of a run in `folder`, besides those of the quickstart. */
export async function layoutConfig(
  folder: string,
  overrides: Readonly<Record<string, unknown>> = {},
): Promise<ResolvedConfig> {
  return quickstartConfig(folder, {
    model_name_or_path: join(folder, "start"),
    freeze_vision_modules: false,
    eval_estimators: ["sampled"],
    eval_samples: 2,
    prompts_per_step: 24,
    fidelity_warmup: null,
    beta: 0.02,
    learning_rate: 6e-4,
    warmup_steps: 0,
    ...overrides,
  });
}

/** Makes `folder`/data and `folder`/start, which writes answers of the right layout about half the time. */
export async function makeLayoutStart(folder: string, seed: number, say: (line: string) => void): Promise<void> {
  await makeData(folder, seed, say);
  const random = join(folder, "random");
  await rm(random, { recursive: true, force: true });
  await callPython({
    module: "thurstone_runtime.make_checkpoint",
    function: "make_checkpoint",
    args: [random, "tiny", seed],
  });
  const config = await layoutConfig(folder, { seed, model_name_or_path: random, output_dir: folder, beta: 0 });
  await using policy = await openPolicy(config);
  const rows = await loadRows(config);
  const prompts = await policy.encode(rows.filter((_, index) => index % 8 === 0));
  await teachFormat(policy, prompts, {
    seed,
    learningRate: TEACHING_RATE,
    onCheck: ({ step, rate, loss }) =>
      say(
        `step ${step}: ${Math.round(100 * rate)} % of sampled answers have the right layout, loss ${loss.toFixed(3)}`,
      ),
  });
  await exportModel(policy, join(folder, "start"));
}
