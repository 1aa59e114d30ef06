/**
 * One namespace, two tasks: what `sft` takes, what it refuses, and what `train` refuses of it.
 *
 * @module
 */
import { writeFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { loadConfig, loadSftConfig, parseFlags, resolveConfig, resolveSftConfig } from "../../src/config/index.js";
import type { SftConfigInput } from "../../src/config/index.js";
import type { ConfigProblem } from "../../src/config/problems.js";
import { objectiveKeys } from "../../src/config/keys/objective.js";
import { rewardKeys } from "../../src/config/keys/rewards.js";
import { samplingKeys } from "../../src/config/keys/sampling.js";
import { ConfigError } from "../../src/errors.js";

const model = { model_name_or_path: "some/model" };

function problemsOf(resolve: () => unknown): { key: string | null; code: string; message: string }[] {
  try {
    resolve();
    return [];
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return (error.fields["problems"] as ConfigProblem[]).map(({ key, code, message }) => ({ key, code, message }));
  }
}

describe("a configuration of sft", () => {
  it("has the keys of both tasks and its own, and none of reinforcement learning", () => {
    const resolved = resolveSftConfig(model);
    expect(resolved).toMatchObject({
      per_device_train_batch_size: 8,
      gradient_accumulation_steps: 1,
      packing: false,
      max_seq_length: null,
      max_completion_length: 256,
      data_seed: 42,
      run_name: "run",
    });
    for (const key of [
      "beta",
      "num_generations",
      "temperature",
      "reward_funcs",
      "prompts_per_step",
      "log_completions",
    ]) {
      expect(resolved).not.toHaveProperty(key);
    }
  });

  it("can be resolved again, and then nothing changes", () => {
    const resolved = resolveSftConfig({ ...model, packing: true, max_seq_length: 512, seed: 3 });
    expect(resolveSftConfig(resolved)).toEqual(resolved);
    const trained = resolveConfig(model);
    expect(resolveConfig(trained)).toEqual(trained);
    expect(trained).not.toHaveProperty("packing");
  });

  it("refuses every key of sampling, rewards and objective, whatever its value, all at once", () => {
    const keys = [
      ...Object.keys({ ...samplingKeys, ...rewardKeys, ...objectiveKeys }).filter(
        (key) => key !== "max_completion_length",
      ),
      "prompts_per_step",
      "log_completions",
    ];
    const parsed = { ...resolveConfig(model), ...resolveSftConfig(model) } as unknown as Record<string, unknown>;
    const problems = problemsOf(() => resolveSftConfig(parsed as unknown as SftConfigInput));
    expect(new Set(problems.map(({ key }) => key))).toEqual(new Set(keys));
    expect(new Set(problems.map(({ code }) => code))).toEqual(new Set(["CONFIG_OTHER_TASK"]));
    expect(problems[0]!.message).toContain('only "thurstone train" reads it');
  });

  it("names file and line of such a key", async () => {
    const folder = await mkdtemp(join(tmpdir(), "thurstone-tasks-"));
    const file = join(folder, "mine.yaml");
    writeFileSync(file, "model_name_or_path: m\npacking: true\nmax_seq_length: 64\nbeta: 0.1\n");
    await expect(loadSftConfig([file])).rejects.toThrow(/mine\.yaml:4:1 {2}beta cannot matter here/);
    await expect(loadConfig([file])).rejects.toThrow(/mine\.yaml:2:1 {2}packing cannot matter here/);
    await expect(loadConfig([file])).rejects.toThrow(/mine\.yaml:3:1 {2}max_seq_length cannot matter here/);
    await rm(folder, { recursive: true });
  });

  it("needs a length to pack to", () => {
    expect(problemsOf(() => resolveSftConfig({ ...model, packing: true }))).toEqual([
      {
        key: "packing",
        code: "CONFIG_CONFLICT",
        message: "packing fills passes of max_seq_length tokens, and that is not set. Set both, or neither.",
      },
    ]);
  });

  it("still looks for contradictions between keys of both tasks", () => {
    const codes = (input: SftConfigInput) => problemsOf(() => resolveSftConfig(input)).map(({ key }) => key);
    expect(codes({ ...model, eval_steps: 5 })).toEqual(["eval_steps"]);
    expect(codes({ ...model, gradient_accumulation_steps: 2 })).toEqual(["gradient_accumulation_steps"]);
    expect(codes({ ...model, torch_dtype: "bfloat16" })).toEqual(["torch_dtype"]);
  });
});

it("activation_offloading goes with gradient_checkpointing only", () => {
  const input = { ...model, activation_offloading: true };
  expect(problemsOf(() => resolveConfig(input)).map(({ message }) => message)).toEqual([
    "activation_offloading is true and gradient_checkpointing is false. Set it to true.",
  ]);
  expect(resolveConfig({ ...input, gradient_checkpointing: true }).activation_offloading).toBe(true);
});

describe("gradient_checkpointing_kwargs", () => {
  it("takes what the worker does, as a map, and as JSON in a flag", () => {
    const kwargs = { use_reentrant: false } as const;
    const input = { ...model, gradient_checkpointing: true, gradient_checkpointing_kwargs: kwargs };
    expect(resolveSftConfig(input).gradient_checkpointing_kwargs).toEqual(kwargs);
    expect(resolveConfig(input).gradient_checkpointing_kwargs).toEqual(kwargs);
    expect(parseFlags(["--gradient_checkpointing_kwargs", '{"use_reentrant": false}'])).toEqual({
      gradient_checkpointing_kwargs: kwargs,
    });
  });

  it.each([
    [
      { use_reentrant: true },
      true,
      'gradient_checkpointing_kwargs is {"use_reentrant":true}; it must be {use_reentrant: false}, or null',
    ],
    [{ use_reentrant: false, other: 1 }, true, "it must be {use_reentrant: false}, or null"],
    ["{use_reentrant: false", true, "it must be {use_reentrant: false}, or null"],
    [{ use_reentrant: false }, false, "gradient_checkpointing is false"],
  ])("refuses %j with gradient_checkpointing %s", (kwargs, on, message) => {
    const input = { ...model, gradient_checkpointing: on, gradient_checkpointing_kwargs: kwargs } as SftConfigInput;
    expect(problemsOf(() => resolveSftConfig(input)).map((problem) => problem.message)).toEqual([
      expect.stringContaining(message) as string,
    ]);
  });

  it("stays a text in a flag that is no JSON", () => {
    expect(parseFlags(["--gradient_checkpointing_kwargs", "{use_reentrant"])).toEqual({
      gradient_checkpointing_kwargs: "{use_reentrant",
    });
  });
});
