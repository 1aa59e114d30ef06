/**
 * What a configuration becomes, and what is said when it cannot be used.
 *
 * @module
 */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { computeDtype, defineConfig, resolveConfig } from "../../src/config/index.js";
import type { ConfigInput } from "../../src/config/index.js";
import type { ConfigProblem } from "../../src/config/problems.js";
import { REFERENCE_SETTINGS } from "../../src/config/reference-parity.js";
import { ConfigError } from "../../src/errors.js";
import { referenceQuirks } from "../../src/rewards/index.js";

const model = { model_name_or_path: "some/model" };

/** The problems of an input, or [] when it has none. */
function problemsOf(input: Record<string, unknown>, options = {}): ConfigProblem[] {
  try {
    resolveConfig({ ...model, ...input } as ConfigInput, options);
    return [];
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return error.fields["problems"] as ConfigProblem[];
  }
}

const said = (input: Record<string, unknown>): string[] =>
  problemsOf(input).map(({ code, message }) => `${code}: ${message}`);

describe("defaults", () => {
  it("are those of the paper where the paper has a number", () => {
    expect(resolveConfig(model)).toMatchObject({
      num_generations: 6,
      beta: 0.04,
      epsilon: 0.2,
      learning_rate: 1e-6,
      lr_scheduler_type: "linear",
      max_completion_length: 256,
      temperature: 1,
      reward_funcs: ["fidelity", "format"],
    });
  });

  it("follow from other keys where they are not given", () => {
    const resolved = resolveConfig({
      ...model,
      epsilon: 0.1,
      seed: 7,
      output_dir: "output/first",
      reward_funcs: ["format", "fidelity"],
      per_device_train_batch_size: 12,
      gradient_accumulation_steps: 2,
    });
    expect(resolved).toMatchObject({
      epsilon_high: 0.1,
      data_seed: 7,
      run_name: "first",
      reward_weights: [1, 1],
      prompts_per_step: 4,
      fidelity_variance_floor: 0.05,
    });
    expect(resolveConfig(model).prompts_per_step).toBe(8);
    expect(resolveConfig({ ...model, fidelity_variance: "fixed" }).fidelity_variance_floor).toBe(1);
  });
});

describe("reference_parity", () => {
  it("sets what the reference leaves no choice in, and compares the pictures of a device", () => {
    const resolved = resolveConfig({
      ...model,
      reference_parity: true,
      per_device_train_batch_size: 48,
      gradient_accumulation_steps: 16,
    });
    expect(resolved).toMatchObject({ ...REFERENCE_SETTINGS, prompts_per_step: 128, comparison_set: 8 });
    expect(resolveConfig(resolved)).toEqual(resolved);
    expect(resolveConfig({ ...model, reference_parity: true }).comparison_set).toBeNull();
    expect(resolveConfig({ ...model, per_device_train_batch_size: 48 })).toMatchObject({
      comparison_set: null,
      top_k: 0,
      fidelity_variance: "floored",
    });
  });

  it("says of fidelity what the rewards' flags say", () => {
    expect(referenceQuirks).toMatchObject({
      variance: REFERENCE_SETTINGS.fidelity_variance,
      varianceFloor: REFERENCE_SETTINGS.fidelity_variance_floor,
      opponent: REFERENCE_SETTINGS.fidelity_opponent,
      tieBand: REFERENCE_SETTINGS.tie_band,
    });
  });
});

describe("spellings", () => {
  it("reads what users of Hugging Face and the reference write", () => {
    const resolved = resolveConfig({
      ...model,
      data_file_paths: "a.jsonl:b.jsonl",
      image_folders: ["images:odd", "more"],
      reward_funcs: "format",
      scale_rewards: false,
      report_to: "none",
      resume_from_checkpoint: true,
      max_grad_norm: 0,
    });
    expect(resolved).toMatchObject({
      data_file_paths: ["a.jsonl", "b.jsonl"],
      image_folders: ["images:odd", "more"],
      reward_funcs: ["format"],
      scale_rewards: "none",
      report_to: [],
      resume_from_checkpoint: "latest",
      max_grad_norm: null,
    });
    expect(resolveConfig({ ...model, scale_rewards: true }).scale_rewards).toBe("group");
    expect(resolveConfig({ ...model, question_template: "{Question} Why?" }).question_template).toBe("{Question} Why?");
  });

  it("takes bf16 as bfloat16 computation, with either dtype", () => {
    expect(computeDtype(resolveConfig(model))).toBe("auto");
    expect(computeDtype(resolveConfig({ ...model, bf16: true }))).toBe("bfloat16");
    expect(computeDtype(resolveConfig({ ...model, bf16: true, torch_dtype: "bfloat16" }))).toBe("bfloat16");
    expect(computeDtype(resolveConfig({ ...model, torch_dtype: "float32" }))).toBe("float32");
  });
});

it("changes nothing when a resolved configuration is resolved again", () => {
  const inputs = fc.record(
    {
      model_name_or_path: fc.constantFrom("m", "some/model"),
      data_file_paths: fc.oneof(fc.constant("a:b"), fc.array(fc.constantFrom("x", "y:z"))),
      num_generations: fc.integer({ min: 2, max: 9 }),
      num_iterations: fc.integer({ min: 1, max: 3 }),
      prompts_per_step: fc.option(fc.integer({ min: 2, max: 40 })),
      fidelity_variance: fc.constantFrom<ConfigInput["fidelity_variance"]>("sample", "fixed", "floored"),
      scale_rewards: fc.constantFrom<ConfigInput["scale_rewards"]>(true, false, "batch"),
      report_to: fc.constantFrom<ConfigInput["report_to"]>("none", "tensorboard", ["tensorboard"]),
      resume_from_checkpoint: fc.constantFrom(true, false, null, "here"),
      max_grad_norm: fc.constantFrom(0, null, 0.5),
      output_dir: fc.constantFrom("a", "./b/c", ".."),
      seed: fc.nat(),
    },
    { requiredKeys: ["model_name_or_path"] },
  );
  fc.assert(
    fc.property(inputs, (input) => {
      const once = resolveConfig(input);
      expect(resolveConfig(once)).toEqual(once);
    }),
  );
});

describe("wrong values", () => {
  it("lists every problem at once, each with its own code", () => {
    const input = { num_generation: 3, beta: "x", top_p: 2, device: "tpu", use_vllm: true, max_steps: 0 };
    expect(said(input)).toEqual([
      'CONFIG_UNKNOWN_KEY: unknown key "num_generation"; did you mean "num_generations"?',
      "CONFIG_NOT_BUILT: use_vllm (true) asks for sampling by vLLM, which is not built yet. The worker samples itself: remove use_vllm.",
      "CONFIG_INVALID_VALUE: top_p is 2; it must be a number above 0 and at most 1",
      'CONFIG_INVALID_VALUE: beta is "x"; it must be a number at least 0',
      "CONFIG_INVALID_VALUE: max_steps is 0; it must be -1 or at least 1",
      'CONFIG_INVALID_VALUE: device is "tpu"; it must be "auto", "cpu", "cuda", "cuda:<number>" or "mps"',
    ]);
  });

  it("gives the error the code that all problems share, otherwise CONFIG_INVALID", () => {
    const codeOf = (input: object): string => {
      try {
        resolveConfig(input as ConfigInput);
      } catch (error) {
        return (error as ConfigError).code;
      }
      return "none";
    };
    expect(codeOf({ ...model, fsdp: "full_shard" })).toBe("CONFIG_NOT_BUILT");
    expect(codeOf({ ...model, fsdp: "full_shard", use_vllm: true })).toBe("CONFIG_NOT_BUILT");
    expect(codeOf({ ...model, fsdp: "full_shard", beta: -1 })).toBe("CONFIG_INVALID");
    expect(codeOf({})).toBe("CONFIG_MISSING_KEY");
  });

  it.each([
    [{ num_generations: 1 }, "num_generations is 1; it must be a whole number at least 2"],
    [{ num_generations: 2.5 }, "num_generations is 2.5; it must be a whole number at least 2"],
    [
      { loss_type: "ppo" },
      'loss_type is "ppo"; it must be "grpo" | "dapo" | "bnpo" | "dr_grpo" | "gspo" | "luspo" | "cispo" | "sapo"',
    ],
    [{ bf16: "yes" }, 'bf16 is "yes"; it must be true or false'],
    [{ temperature: 0 }, "temperature is 0; it must be a number above 0"],
    [{ reward_funcs: [] }, "reward_funcs is []; it must be a text, or a list of texts"],
    [
      { question_template: "Rate it." },
      'question_template is "Rate it."; it must be "scoring", "scoring_non_thinking", "scoring_distortion" or a text that contains {Question}',
    ],
    [{ model_revision: 3 }, "model_revision is 3; it must be a text, or null"],
    [{ learning_rate: Number.NaN }, "learning_rate is NaN; it must be a number at least 0"],
  ])("says what %o should have been", (input, message) => {
    expect(problemsOf(input).map((problem) => problem.message)).toEqual([message]);
  });

  it("refuses names of JavaScript's own objects as unknown keys", () => {
    expect(said({ constructor: 1, toString: 2 })).toEqual([
      'CONFIG_UNKNOWN_KEY: unknown key "constructor"; `thurstone schema` lists all keys',
      'CONFIG_UNKNOWN_KEY: unknown key "toString"; `thurstone schema` lists all keys',
    ]);
  });

  it("asks for keys that the caller cannot do without", () => {
    const require = ["data_file_paths"] as const;
    expect(problemsOf({}, { require }).map(({ code, key }) => [code, key])).toEqual([
      ["CONFIG_MISSING_KEY", "data_file_paths"],
    ]);
    expect(problemsOf({ data_file_paths: "a" }, { require })).toEqual([]);
  });
});

describe("what is known and not built", () => {
  it.each([
    ["fsdp", "full_shard", ""],
    ["sync_ref_model", true, false],
    ["ref_model_mixup_alpha", 0.6, null],
    ["ref_model_sync_steps", 512, null],
    ["max_anyres_num", 12, null],
    ["reward_method", "default", null],
    ["fp16", true, false],
    ["trust_remote_code", true, false],
  ])("%s: %o fails by name, %o is accepted", (key, asks, off) => {
    const [problem, ...others] = problemsOf({ [key]: asks });
    expect(others).toEqual([]);
    expect(problem).toMatchObject({ code: "CONFIG_NOT_BUILT", key });
    expect(problem!.message).toContain(key);
    expect(problem!.message).toContain("not built yet");
    expect(problemsOf({ [key]: off })).toEqual([]);
    expect(resolveConfig({ ...model, [key]: off })).not.toHaveProperty(key);
  });

  it.each([
    ["loss_type", "vespo"],
    ["report_to", ["tensorboard", "wandb"]],
    ["torch_dtype", "float16"],
    ["optim", "adafactor"],
    ["lr_scheduler_type", "polynomial"],
  ])("%s: %o fails by name", (key, value) => {
    expect(problemsOf({ [key]: value })).toMatchObject([{ code: "CONFIG_NOT_BUILT", key }]);
  });
});

it("gives back what it was given, typed", () => {
  const config = defineConfig({ ...model, num_generations: 4, use_peft: false });
  expect(config).toEqual({ ...model, num_generations: 4, use_peft: false });
});
