/**
 * The written forms of the schema: docs/configuration.md and configs/schema.json are current.
 *
 * `--update` writes both anew.
 *
 * @module
 */
import { fileURLToPath } from "node:url";
import { format, resolveConfig as prettierOptions } from "prettier";
import { describe, expect, it } from "vitest";
import { schemaText } from "../../src/cli/schema.js";
import { TASKS } from "../../src/config/tasks.js";
import { configurationMarkdown, describeKeys, flagHelp, jsonSchema } from "../../src/config/reference.js";

const repository = (path: string): string => fileURLToPath(new URL(`../../${path}`, import.meta.url));

it("docs/configuration.md describes the schema as it is", async () => {
  const page = repository("docs/configuration.md");
  const text = await format(configurationMarkdown(), { ...(await prettierOptions(page)), parser: "markdown" });
  await expect(text).toMatchFileSnapshot(page);
});

it("configs/schema.json is what `thurstone schema` prints", async () => {
  await expect(schemaText()).toMatchFileSnapshot(repository("configs/schema.json"));
});

describe("every key", () => {
  it("is described by a sentence", () => {
    for (const { key, description } of describeKeys()) {
      expect(`${key}: ${description}`).toMatch(/: [A-Z`].{10,}\.$/s);
    }
  });

  it("has a default, or says that it is required", () => {
    const required = describeKeys().filter(({ defaultValue }) => defaultValue === null);
    expect(required.map(({ key, description }) => [key, description.endsWith("Required.")])).toEqual([
      ["model_name_or_path", true],
    ]);
  });

  it("is in the help of the commands that read it", () => {
    const help = { train: flagHelp("train"), sft: flagHelp("sft") };
    for (const [task, text] of Object.entries(help)) {
      const foreign: readonly string[] = TASKS[task as keyof typeof help].foreignKeys;
      for (const { key } of describeKeys())
        expect([key, new RegExp(`  --${key}[ \\n]`).test(text)]).toEqual([key, !foreign.includes(key)]);
    }
  });
});

it("forbids unknown keys and knows those that are not built by their off values", () => {
  const schema = jsonSchema() as { additionalProperties: boolean; required: string[]; properties: object };
  expect(schema.additionalProperties).toBe(false);
  expect(schema.required).toEqual(["model_name_or_path"]);
  expect(schema.properties).toMatchObject({
    num_generations: { type: "integer", minimum: 2, default: 6 },
    use_vllm: { enum: [false] },
  });
});
