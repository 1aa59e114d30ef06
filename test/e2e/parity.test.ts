/**
 * `thurstone train` under `reference_parity` against the reference's step in plain PyTorch, on the same completions.
 *
 * Claimed is that the formulas are the same, through all layers: sampler, rewards, advantages, weights, loss, clipping, AdamW,
 * schedule. What a worker samples is replaced by given texts, which both train on.
 *
 * @module
 */
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, it } from "vitest";
import type { CallOptions, PlainMap, Reply } from "../../src/bridge/index.js";
import type { ConfigInput, ResolvedConfig } from "../../src/config/index.js";
import { createSampler, groupAdvantages, loadConfig, loadRows, train } from "../../src/index.js";
import type { TrainerEvent } from "../../src/index.js";
import { textTensors } from "../../src/policy/wire.js";
import { findPython } from "../../src/python/index.js";
import { foldKey, uniform } from "../../src/stats/index.js";
import { connectPython } from "../../src/trainer/index.js";
import type { Connection } from "../../src/trainer/index.js";
import { readGolden } from "../golden/read.js";
import { createWorkspace } from "./workspace.js";
import type { Workspace } from "./workspace.js";

const REFERENCE = fileURLToPath(new URL("./reference_trainer.py", import.meta.url));
const RECIPE = fileURLToPath(new URL("../../configs/vq-r1-script.yaml", import.meta.url));
const STEPS = 5;
const PICTURES_PER_DEVICE = 3;
const DEVICES = 2;
const SAMPLES = 4;

interface ReferenceResult {
  readonly steps: readonly {
    readonly rewards: readonly (readonly number[])[];
    readonly advantages: readonly (readonly number[])[];
    readonly loss: number;
    readonly grad_norm: number;
  }[];
  readonly difference: number;
  readonly moved: number;
}

/** What a completion says: scores in and out of range, in the layout and beside it, all of them readable to the reference. */
function textOf(step: number, prompt: number, sample: number): string {
  const draw = (purpose: number): number => uniform(foldKey(1, step, prompt, sample, purpose));
  const score = (0.5 + 5 * draw(0)).toFixed(2);
  const reason = "a picture that is noisy and soft".slice(0, 4 + Math.floor(28 * draw(1)));
  const shapes = [
    `<think>${reason}</think><answer>${score}</answer>`,
    `<think>${reason}</think>\n<answer> ${score} out of 5 </answer>`,
    `<think>${reason}</think><answer>1</answer><answer>${score}</answer>`,
    `<answer>${score}</answer>`,
    `It is ${score}, ${reason}.`,
  ];
  return shapes[Math.floor(shapes.length * draw(2))]!;
}

function textsOf(step: number): string[][] {
  return Array.from({ length: PICTURES_PER_DEVICE * DEVICES }, (_, prompt) =>
    Array.from({ length: SAMPLES }, (__, sample) => textOf(step, prompt, sample)),
  );
}

/** A real worker that "samples" the texts of each step. */
async function connectWithTexts(config: ResolvedConfig): Promise<Connection> {
  const { callers, close } = await connectPython(config);
  const caller = callers[0]!;
  let step = 0;
  async function generate(params: PlainMap): Promise<Reply> {
    const texts = textsOf((step += 1)).flat();
    const { tensors } = await caller.call("tokenize", { append_eos: true }, { tensors: textTensors(texts) });
    const { ids, lengths } = tensors;
    return {
      result: { policy_version: params["policy_version"]!, seconds: { prefill: 0, decode: 0 } },
      tensors: {
        tokens: ids!,
        lengths: lengths!,
        logprobs: { dtype: "f32", shape: ids!.shape, data: new Float32Array(ids!.data.length) },
        finish: { dtype: "u8", shape: [texts.length], data: new Uint8Array(texts.length) },
        ...textTensors(texts),
      },
    };
  }
  return {
    close,
    callers: [
      {
        close: () => caller.close(),
        call: (method: string, params: PlainMap, options?: CallOptions) =>
          method === "generate" ? generate(params) : caller.call(method, params, options),
      },
    ],
  };
}

let workspace: Workspace;
let config: ResolvedConfig;
beforeAll(async () => {
  workspace = await createWorkspace(13);
  const small: Partial<ConfigInput> = {
    model_name_or_path: workspace.model,
    data_file_paths: [workspace.data],
    image_folders: [workspace.images],
    dataset_name: "tiny",
    output_dir: join(workspace.folder, "parity"),
    bf16: false,
    torch_dtype: "float32",
    attn_implementation: "auto",
    gradient_checkpointing: false,
    worker_threads: 1,
    report_to: "none",
    num_generations: SAMPLES,
    per_device_train_batch_size: PICTURES_PER_DEVICE * SAMPLES,
    gradient_accumulation_steps: DEVICES,
    max_steps: STEPS,
    // 1e-6 is for billions of parameters; with it five updates could not differ by as much as is allowed.
    learning_rate: 3e-4,
    weight_decay: 0.1,
    max_grad_norm: 0.5,
  };
  config = await loadConfig([RECIPE], small);
});
afterAll(() => workspace.remove());

it("five updates of the script's recipe end at the weights of the reference's own, to 1e-5", async () => {
  expect(config).toMatchObject({ reference_parity: true, comparison_set: PICTURES_PER_DEVICE, beta: 0.04 });
  const run = train(config, { connect: () => connectWithTexts(config) });
  const steps: Extract<TrainerEvent, { type: "step-end" }>[] = [];
  for await (const event of run) if (event.type === "step-end") steps.push(event);
  const { model } = await run.result;

  const sampler = createSampler(await loadRows(config), config);
  const { python } = findPython();
  const { question_template_think: template } = readGolden<Record<string, string>>("prompt");
  const input = {
    model: workspace.model,
    exported: model,
    template,
    settings: {
      beta: config.beta,
      epsilon: config.epsilon,
      learning_rate: config.learning_rate,
      weight_decay: config.weight_decay,
      max_grad_norm: config.max_grad_norm,
      pictures_per_device: PICTURES_PER_DEVICE,
    },
    steps: steps.map(({ step }) =>
      sampler.at(step).map((row, prompt) => ({
        question: "Rate the picture.",
        image: row.images[0],
        mos: row.mos,
        completions: textsOf(step)[prompt],
      })),
    ),
  };
  const output = execFileSync(python, [REFERENCE], {
    input: JSON.stringify(input),
    env: { ...process.env, OMP_NUM_THREADS: "1" },
    stdio: ["pipe", "pipe", "ignore"],
  });
  const expected = JSON.parse(String(output)) as ReferenceResult;

  expect(steps).toHaveLength(STEPS);
  for (const [index, { step, metrics }] of steps.entries()) {
    const wanted = expected.steps[index]!;
    const records = readFileSync(
      join(config.output_dir, `rollouts/step_${String(step).padStart(6, "0")}.jsonl`),
      "utf8",
    );
    const rewards = records
      .trimEnd()
      .split("\n")
      .map((line) => (JSON.parse(line) as { reward: number }).reward);
    const groups = wanted.rewards.map((_, prompt) => rewards.slice(prompt * SAMPLES, (prompt + 1) * SAMPLES));
    expectClose(groups.flat(), wanted.rewards.flat(), 1e-9);
    expectClose(groupAdvantages(groups, { scale: config.scale_rewards }).flat(), wanted.advantages.flat(), 1e-9);
    expectClose([metrics["loss"]!], [wanted.loss], 1e-5);
    expectClose([metrics["grad_norm"]!], [wanted.grad_norm], 1e-5 * wanted.grad_norm);
  }
  expect(expected.difference).toBeLessThan(1e-5);
  // The comparison is worth something: gradients were clipped, and weights went far beyond what they may differ by.
  expect(Math.min(...expected.steps.map(({ grad_norm }) => grad_norm))).toBeGreaterThan(0.5);
  expect(expected.moved).toBeGreaterThan(5e-4);
});

function expectClose(values: readonly number[], wanted: readonly number[], tolerance: number): void {
  expect(values).toHaveLength(wanted.length);
  values.forEach((value, index) => expect(Math.abs(value - wanted[index]!)).toBeLessThan(tolerance));
}
