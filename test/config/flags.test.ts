/**
 * Flags: the spellings of Hugging Face's command lines, read into values.
 *
 * @module
 */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { loadConfig, parseFlags } from "../../src/config/index.js";
import { ConfigError } from "../../src/errors.js";

const words = (line: string): string[] => line.split(" ");

describe("parseFlags", () => {
  it.each<[string, Record<string, unknown>]>([
    ["--num_generations 8", { num_generations: 8 }],
    ["--num-generations 8", { num_generations: 8 }],
    ["--num_generations=8", { num_generations: 8 }],
    ["--learning_rate 1e-6", { learning_rate: 1e-6 }],
    ["--learning_rate .5", { learning_rate: 0.5 }],
    ["--max_steps -1", { max_steps: -1 }],
    ["--bf16", { bf16: true }],
    ["--bf16 false", { bf16: false }],
    ["--bf16 --beta 0", { bf16: true, beta: 0 }],
    ["--use_vllm False", { use_vllm: false }],
    ["--use_peft", { use_peft: true }],
    ["--reward_funcs accuracy format", { reward_funcs: ["accuracy", "format"] }],
    ["--reward_funcs format", { reward_funcs: "format" }],
    ["--reward_weights 1 0.5", { reward_weights: [1, 0.5] }],
    ["--data_file_paths a:b", { data_file_paths: "a:b" }],
    ["--data_file_paths a b", { data_file_paths: ["a", "b"] }],
    ["--run_name 7", { run_name: "7" }],
    ["--run_name a=b", { run_name: "a=b" }],
    ["--run_name=a=b", { run_name: "a=b" }],
    ["--max_prompt_length None", { max_prompt_length: null }],
    ["--save_total_limit null", { save_total_limit: null }],
    ["--ds3_gather_for_generation False", { ds3_gather_for_generation: false }],
    ["--deepspeed none", { deepspeed: null }],
    ["--deepspeed zero3.json", { deepspeed: "zero3.json" }],
    ["--lora_target_modules q_proj v_proj", { lora_target_modules: ["q_proj", "v_proj"] }],
    ["--report_to none", { report_to: "none" }],
    ["--scale_rewards none", { scale_rewards: "none" }],
    ["--scale_rewards false", { scale_rewards: false }],
    ["--resume_from_checkpoint", { resume_from_checkpoint: true }],
    ["--resume_from_checkpoint out/5", { resume_from_checkpoint: "out/5" }],
    ["--beta 0.1 --beta 0.2", { beta: 0.2 }],
    ["--no_such_key 3", { no_such_key: "3" }],
    ["--constructor 3", { constructor: "3" }],
  ])("reads %s", (line, values) => {
    expect(parseFlags(words(line))).toEqual(values);
  });

  it("keeps texts with spaces, line breaks and dashes inside as they are", () => {
    const text = "{Question}\n--rate it-- from 1 to 5";
    expect(parseFlags([`--question_template=${text}`])).toEqual({ question_template: text });
    expect(parseFlags(["--question_template", text])).toEqual({ question_template: text });
  });

  it("lists every argument it cannot use", () => {
    expect(() => parseFlags(words("stray --learning_rate --beta 1 2 --num-generations=4 5"))).toThrowError(
      expect.objectContaining({
        code: "CONFIG_FLAG",
        message: [
          "The configuration has 4 problems:",
          '  CONFIG_FLAG  "stray" belongs to no flag',
          '  CONFIG_FLAG  --learning_rate needs a value, as in "--learning_rate VALUE"',
          '  CONFIG_FLAG  --beta takes one value, and got 2: "1" "2"',
          '  CONFIG_FLAG  "5" belongs to no flag',
        ].join("\n"),
      }) as Error,
    );
  });

  it("reads every number as Number does, and loses no argument", () => {
    fc.assert(
      fc.property(fc.double({ noNaN: true, noDefaultInfinity: true }), (value) => {
        expect(parseFlags(["--beta", String(value)])).toEqual({ beta: Number(String(value)) });
      }),
    );
  });

  it("ends with values or a ConfigError, whatever it is given", () => {
    const argument = fc.oneof(fc.string(), fc.constantFrom("--beta", "--bf16", "--", "-1", "--reward_funcs", "--x=1"));
    fc.assert(
      fc.property(fc.array(argument), (args) => {
        try {
          expect(parseFlags(args)).toBeTypeOf("object");
        } catch (error) {
          expect(error).toBeInstanceOf(ConfigError);
        }
      }),
      { numRuns: 1000 },
    );
  });
});

it("names the flag of a value that does not fit", async () => {
  const flags = parseFlags(words("--model_name_or_path m --learning_rate fast"));
  await expect(loadConfig([], flags)).rejects.toThrowError(
    '--learning_rate  learning_rate is "fast"; it must be a number at least 0',
  );
});
