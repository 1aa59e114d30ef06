/**
 * Files and flags: which one wins, and where a problem was written.
 *
 * @module
 */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { loadConfig, readFlags } from "../../src/config/index.js";
import { parseConfigText } from "../../src/config/load.js";
import type { ConfigProblem } from "../../src/config/problems.js";
import { ConfigError } from "../../src/errors.js";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "thurstone-config-"));
});
afterAll(() => rm(folder, { recursive: true }));

async function file(name: string, text: string): Promise<string> {
  const full = path.join(folder, name);
  await writeFile(full, text);
  return full;
}

async function failure(...args: Parameters<typeof loadConfig>): Promise<ConfigError> {
  const error: unknown = await loadConfig(...args).then(
    () => null,
    (reason: unknown) => reason,
  );
  if (!(error instanceof ConfigError)) throw new Error(`expected a ConfigError, got ${String(error)}`);
  return error;
}

const problemsOf = (error: ConfigError): ConfigProblem[] => error.fields["problems"] as ConfigProblem[];

describe("precedence", () => {
  it("is defaults, then files from left to right, then flags", async () => {
    const first = await file("first.yaml", "model_name_or_path: m\nbeta: 0.1\nepsilon: 0.1\nseed: 1\n");
    const second = await file("second.yaml", "epsilon: 0.15\nseed: 2\n");
    const config = await loadConfig([first, second], { seed: 3 });
    expect(config).toMatchObject({ beta: 0.1, epsilon: 0.15, seed: 3, num_generations: 6 });
  });

  it("lets a null of a later source win over a value", async () => {
    const first = await file("value.yaml", "model_name_or_path: m\nmax_prompt_length: 100\n");
    const second = await file("null.yaml", "max_prompt_length:\n");
    expect((await loadConfig([first, second])).max_prompt_length).toBeNull();
  });

  it("works without any file", async () => {
    expect((await loadConfig([], { model_name_or_path: "m" })).model_name_or_path).toBe("m");
  });
});

describe("YAML", () => {
  it("reads numbers with an exponent as numbers, and lists in both styles", async () => {
    const name = await file(
      "styles.yaml",
      "model_name_or_path: m\nlearning_rate: 1e-6\nreward_funcs: [format, fidelity]\ndata_file_paths:\n  - a.jsonl\n  - b.jsonl\n",
    );
    expect(await loadConfig([name])).toMatchObject({
      learning_rate: 1e-6,
      reward_funcs: ["format", "fidelity"],
      data_file_paths: ["a.jsonl", "b.jsonl"],
    });
  });

  it("takes an empty file as one that sets nothing", () => {
    for (const text of ["", "# only a comment\n", "---\n"]) {
      expect(parseConfigText("empty.yaml", text)).toEqual({ values: new Map(), problems: [] });
    }
  });

  it("never fails on any text otherwise than by naming a problem", () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.string({ unit: "grapheme" }), fc.json()), (text) => {
        const { values, problems } = parseConfigText("any.yaml", text);
        expect(values).toBeInstanceOf(Map);
        for (const { line } of problems) expect(line).toBeGreaterThanOrEqual(1);
      }),
      { numRuns: 1000 },
    );
  });
});

describe("places", () => {
  it("names file, line and column of every problem, in reading order, then flags, then what is missing", async () => {
    const mine = await file("mine.yaml", "beta: 0.1\nnum_generation: 4\n\ntop_p: 3\nuse_vllm: true\n");
    const other = await file("other.yaml", "  # indented\nbeta: much\n");
    const error = await failure([mine, other], { epsilom: 0.2, num_iterations: "two" });
    expect(error.code).toBe("CONFIG_INVALID");
    expect(problemsOf(error).map(({ file, line, column, key, code }) => [file, line, column, key, code])).toEqual([
      [mine, 2, 1, "num_generation", "CONFIG_UNKNOWN_KEY"],
      [mine, 4, 1, "top_p", "CONFIG_INVALID_VALUE"],
      [mine, 5, 1, "use_vllm", "CONFIG_NOT_BUILT"],
      [other, 2, 1, "beta", "CONFIG_INVALID_VALUE"],
      [null, null, null, "epsilom", "CONFIG_UNKNOWN_KEY"],
      [null, null, null, "num_iterations", "CONFIG_INVALID_VALUE"],
      [null, null, null, "model_name_or_path", "CONFIG_MISSING_KEY"],
    ]);
    expect(error.message.split("\n")).toEqual([
      "The configuration has 7 problems:",
      `  CONFIG_UNKNOWN_KEY  ${mine}:2:1  unknown key "num_generation"; did you mean "num_generations"?`,
      `  CONFIG_INVALID_VALUE  ${mine}:4:1  top_p is 3; it must be a number above 0 and at most 1`,
      `  CONFIG_NOT_BUILT  ${mine}:5:1  use_vllm (true) asks for sampling by vLLM, which is not built yet. The worker samples itself: remove use_vllm.`,
      `  CONFIG_INVALID_VALUE  ${other}:2:1  beta is "much"; it must be a number at least 0`,
      '  CONFIG_UNKNOWN_KEY  --epsilom  unknown key "epsilom"; did you mean "epsilon"?',
      '  CONFIG_INVALID_VALUE  --num_iterations  num_iterations is "two"; it must be a whole number at least 1',
      "  CONFIG_MISSING_KEY  model_name_or_path is missing: it has no default, so it must be set",
    ]);
  });

  it("says a single problem in one line, with its own code", async () => {
    const name = await file("one.yaml", "model_name_or_path: m\n\nnum_generation: 4\n");
    const error = await failure([name]);
    expect(error.code).toBe("CONFIG_UNKNOWN_KEY");
    expect(error.message).toBe(`${name}:3:1  unknown key "num_generation"; did you mean "num_generations"?`);
  });

  it("places a contradiction at one of its keys, the one that is checked against the others", async () => {
    const name = await file("contradiction.yaml", "model_name_or_path: m\nprompts_per_step: 20\n");
    const error = await failure([name], { comparison_set: 8 });
    expect(error.message).toBe("--comparison_set  comparison_set is 8, which does not divide prompts_per_step, 20.");
  });
});

it("places too few pictures at the key that says how many there are", async () => {
  const name = await file("few.yaml", "model_name_or_path: m\nnum_generations: 4\n");
  const error = await failure([name], { prompts_per_step: 1 });
  expect(error.message).toMatch(/^--prompts_per_step {2}prompts_per_step is 1, /);
});

it("tells what is wrong with arguments together with everything else", async () => {
  const { values, problems } = readFlags(["--learning_rate", "--beta", "1", "more.yaml", "--top_k", "-1"]);
  const error = await failure([], values, { problems });
  // The model may have been meant where nothing could be read, so it is not called missing.
  expect(problemsOf(error).map(({ key, code }) => [key, code])).toEqual([
    ["top_k", "CONFIG_INVALID_VALUE"],
    ["learning_rate", "CONFIG_FLAG"],
    ["beta", "CONFIG_FLAG"],
  ]);
  expect(error.message).toContain(
    '--beta takes one value, and got 2: "1" "more.yaml"; configuration files stand before all flags, or behind --config',
  );
});

describe("files that cannot be used", () => {
  it("are named, and hide no problem of the others", async () => {
    const broken = await file("broken.yaml", "model_name_or_path: [m\n");
    const twice = await file("twice.yaml", "beta: 1\nbeta: 2\n");
    const list = await file("list.yaml", "- beta\n- epsilon\n");
    const alias = await file("alias.yaml", "beta: *unknown\n");
    const missing = path.join(folder, "missing.yaml");
    const error = await failure([broken, missing, twice, list, alias], { top_k: -1 });
    expect(problemsOf(error).map(({ file, line, code }) => [file, line, code])).toEqual([
      [broken, 2, "CONFIG_YAML"],
      [missing, null, "CONFIG_FILE"],
      [twice, 2, "CONFIG_DUPLICATE_KEY"],
      [list, 1, "CONFIG_YAML"],
      [alias, 1, "CONFIG_YAML"],
      [null, null, "CONFIG_INVALID_VALUE"],
    ]);
    expect(error.message).toContain(`${missing}  the configuration file does not exist; paths are relative to `);
    expect(error.message).toContain(`${twice}:2:1  beta is set a second time in this file; keep one`);
    expect((await failure([folder])).message).toContain(`${folder}  the configuration file is a folder;`);
  });

  it("do not unfold aliases without end", () => {
    const nine = (entry: string): string => `[${Array.from({ length: 9 }, () => entry).join(", ")}]`;
    const letters = "bcdefgh".split("");
    const bomb = [
      `a: &a ${nine("x")}`,
      ...letters.map((letter, index) => `${letter}: &${letter} ${nine(`*${letters[index - 1] ?? "a"}`)}`),
    ].join("\n");
    const { problems } = parseConfigText("bomb.yaml", bomb);
    expect(problems.map(({ code }) => code)).toContain("CONFIG_YAML");
  });

  it("cannot set what JavaScript keeps for itself", () => {
    const { values } = parseConfigText("proto.yaml", "__proto__: 1\n");
    expect([...values.keys()]).toEqual(["__proto__"]);
  });
});

it("reports __proto__ as an unknown key, wherever it is written", async () => {
  const name = await file("proto.yaml", "model_name_or_path: m\n__proto__: {beta: 3}\n");
  expect((await failure([name])).code).toBe("CONFIG_UNKNOWN_KEY");
});
