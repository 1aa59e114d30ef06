import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { stringify } from "yaml";
import { runCommandLine } from "../../src/cli/program.js";
import type { ResolvedConfig, RunPlan } from "../../src/config/index.js";
import { createDataSet } from "../support/data-set.js";
import type { MemoryForecast } from "../../src/trainer/index.js";
import type { DataSet } from "../support/data-set.js";
import { commandIo } from "./outputs.js";

let set: DataSet;
let file: string;
beforeAll(async () => {
  set = await createDataSet();
  file = join(set.folder, "run.yaml");
  writeFileSync(file, stringify(set.config("run")));
});
afterAll(() => set.remove());

async function thurstone(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  const io = commandIo(set.folder);
  const code = await runCommandLine(["train", ...args], io);
  return { code, out: io.stdout.text(), err: io.stderr.text() };
}

describe("thurstone train --dry-run", () => {
  it("prints the plan of files and flags and starts nothing", async () => {
    const { code, out, err } = await thurstone(file, "--dry-run", "--max_steps", "6", "--num_iterations", "2");
    expect([code, err]).toEqual([0, ""]);
    expect(out).toMatch(/^ {2}max_steps +6$/m);
    expect(out).toMatch(/^ {2}tiny: 8 rows$/m);
    expect(out).toMatch(/^ {2}a rollout batch: 3 prompts x 4 completions = 12 completions$/m);
    expect(out).toMatch(/^ {2}6 steps = 3 rollout batches x 2$/m);
    expect(out).toMatch(/^ {2}unknown: none is no folder with a config.json of /m);
  });

  const part = fileURLToPath(new URL("../../assets/part", import.meta.url));

  it("shows what a worker needs of memory, from the model's JSON files alone", async () => {
    const { code, out } = await thurstone(file, "--dry-run", "--model_name_or_path", part, "--device", "cpu");
    expect(code).toBe(0);
    expect(out).toMatch(/^ {2}2487168 parameters, 2487168 of them trained; computed in float32$/m);
    expect(out).toMatch(/^ {2}weights +9\.5 MiB +9\.5 MiB +9\.5 MiB$/m);
    expect(out).toMatch(/^ {2}optimizer +19\.0 MiB +19\.0 MiB +19\.0 MiB$/m);
    expect(out).toMatch(/^ {2}there are .* \(what the machine has available\): it fits$/m);
  });

  it("fails, and says what would fit, where the device is too small", async () => {
    const flags = ["--model_name_or_path", "Qwen/Qwen2.5-VL-7B-Instruct", "--device", "cuda", "--device_memory_gb"];
    const { code, out } = await thurstone(file, "--dry-run", "--json", ...flags, "24");
    expect(code).toBe(1);
    const { memory } = JSON.parse(out) as { memory: MemoryForecast };
    expect(memory).toMatchObject({ fits: false, available: { bytes: 24 * 2 ** 30, source: "device_memory_gb" } });
    expect(memory.remedies).toHaveLength(3);
    for (const { plan } of memory.remedies) expect(plan.needed).toBeLessThanOrEqual(24 * 2 ** 30);
    expect((await thurstone(file, "--dry-run", ...flags, "24")).out).toMatch(
      /: IT DOES NOT FIT\n {2}what would fit, cheapest first:\n {4}.*use_peft: true.* GiB\)\n/,
    );
    expect((await thurstone(file, "--dry-run", ...flags, "1000")).code).toBe(0);
    const spread = ["1000", "--num_processes", "3", "--strategy", "fsdp2"];
    const { out: pieces } = await thurstone(file, "--dry-run", ...flags, ...spread);
    expect(pieces).toMatch(/^ {2}weights in pieces are put together at each rank to sample$/m);
  });

  it("gives the resolved configuration and the plan as JSON", async () => {
    const { out } = await thurstone(file, "--dry-run", "--json");
    const { config, plan } = JSON.parse(out) as { config: ResolvedConfig; plan: RunPlan };
    expect(config).toMatchObject({ num_generations: 4, reward_funcs: ["fidelity", "format"], reward_weights: [1, 1] });
    expect(plan).toMatchObject({ steps: 4, rollouts: 4, completionsPerUpdate: 12 });
  });

  it("takes the rewards of a TypeScript module, which then stand in for the default ones", async () => {
    const path = join(set.folder, "reward.ts");
    writeFileSync(
      path,
      'import { defineReward } from "thurstone/rewards";\n' +
        "type Score = number;\n" +
        'export const brief = defineReward({ name: "brief", score: ({ completion }): Score => -completion.tokenIds.length });\n',
    );
    const resolved = async (...flags: string[]): Promise<ResolvedConfig> =>
      (JSON.parse((await thurstone(file, "--dry-run", "--json", ...flags)).out) as { config: ResolvedConfig }).config;
    expect((await resolved("--rewards", path)).reward_funcs).toEqual(["brief"]);
    expect(
      await resolved("--rewards", path, "--reward_funcs", "format", "brief", "--reward_weights", "1", "0.5"),
    ).toMatchObject({
      reward_funcs: ["format", "brief"],
      reward_weights: [1, 0.5],
    });
    const unknown = await thurstone(file, "--dry-run", "--rewards", path, "--reward_funcs", "breif");
    expect(unknown.err).toMatch(/^ConfigError CONFIG_UNKNOWN_REWARD {2}--reward_funcs .*Did you mean "brief"\?/);
  });
});

describe("thurstone train --dry-run of the flagship recipes", () => {
  /** As many rows as KADID-10k's training split has in the reference, all of one picture. */
  const ROWS = 6125;
  const config = (name: string): string => fileURLToPath(new URL(`../../configs/${name}`, import.meta.url));
  let data: string;
  beforeAll(() => {
    data = join(set.folder, "kadid.jsonl");
    const conversations = [
      { from: "human", value: "Rate the picture." },
      { from: "gpt", value: 3.5 },
    ];
    const rows = Array.from({ length: ROWS }, (_, id) =>
      JSON.stringify({ id, dataset_name: "KADID-10K", image: ["picture_0.png"], conversations }),
    );
    writeFileSync(data, rows.join("\n"));
  });
  const plan = async (name: string): Promise<string> => {
    const flags = ["--data_file_paths", data, "--image_folders", set.images];
    const card = ["--device", "cuda", "--device_memory_gb", "1000"];
    const { code, out, err } = await thurstone("--config", config(name), ...flags, ...card, "--dry-run");
    expect([code, err]).toEqual([0, ""]);
    return out;
  };

  it("prints the paper's 128 prompts, 768 completions and 478 steps", async () => {
    const out = await plan("vq-r1-paper.yaml");
    expect(out).toMatch(/^ {2}a rollout batch: 128 prompts x 6 completions = 768 completions$/m);
    expect(out).toMatch(/^ {2}an update: 768 completions$/m);
    expect(out).toMatch(/^ {2}478 steps = 478 rollout batches x 1$/m);
    expect(out).toMatch(/^ {2}a forward and backward pass: at most 48 completions and /m);
    expect(out).toMatch(/^ {2}comparison_set +8$/m);
  });

  it("prints the script's 64 prompts, 384 completions and, without the rest of each epoch, 950 steps", async () => {
    const out = await plan("vq-r1-script.yaml");
    expect(out).toMatch(/^ {2}a rollout batch: 64 prompts x 6 completions = 384 completions$/m);
    expect(out).toMatch(/^ {2}950 steps = 950 rollout batches x 1$/m);
    expect(out).toMatch(/^ {2}comparison_set +8$/m);
    expect(out).toMatch(/^ {2}reference_parity +true$/m);
  });
});

describe("thurstone train", () => {
  it("names all that is wrong with files and flags at once, and fails", async () => {
    const { code, out, err } = await thurstone(file, "--num_generation", "4", "--beta", "--top_p", "2");
    expect([code, out]).toEqual([1, ""]);
    expect(err).toBe(
      [
        "ConfigError CONFIG_INVALID  The configuration has 3 problems:",
        '  CONFIG_UNKNOWN_KEY  --num_generation  unknown key "num_generation"; did you mean "num_generations"?',
        "  CONFIG_INVALID_VALUE  --top_p  top_p is 2; it must be a number above 0 and at most 1",
        '  CONFIG_FLAG  --beta needs a value, as in "--beta VALUE"',
        "",
      ].join("\n"),
    );
  });

  it("says before anything starts that there is nothing to resume, and that a path is a file", async () => {
    const { err } = await thurstone(file, "--resume");
    expect(err).toMatch(
      /^RunError RESUME_NOTHING {2}.*run holds no complete checkpoint to resume from\. Start the run/,
    );
    const taken = await thurstone(file, "--output_dir", file);
    expect(taken.err).toMatch(
      /^RunError RUN_WRITE_FAILED {2}cannot look into .*run\.yaml: .*choose another output_dir\.\n$/,
    );
  });

  it("explains its options and every key with --help", async () => {
    const { code, out } = await thurstone("--help");
    expect(code).toBe(0);
    for (const word of ["--config FILE", "--dry-run", "--probe", "--resume", "--json", "--num_generations", "Ctrl-C"]) {
      expect(out).toContain(word);
    }
  });
});
