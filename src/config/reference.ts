/**
 * The configuration described: as JSON Schema for editors, as Markdown for the documentation, as help of the command line.
 *
 * @module
 */
import { z } from "zod";
import { expectation, inputSchema } from "./expectation.js";
import { NOT_BUILT_KEYS } from "./not-built.js";
import { configSchema, configSections } from "./schema.js";
import { TASKS } from "./tasks.js";

/** One key in words. */
export interface KeyDescription {
  readonly section: string;
  readonly key: string;
  /** What it accepts, for example "a whole number at least 2". */
  readonly accepts: string;
  /** As JSON; null when the key is required. */
  readonly defaultValue: string | null;
  readonly description: string;
}

/** All keys in reading order. */
export function describeKeys(): KeyDescription[] {
  return Object.entries(configSections).flatMap(([section, keys]) =>
    Object.entries(keys as Readonly<Record<string, z.ZodType>>).map(([key, schema]) => {
      const json = inputSchema(schema);
      return {
        section,
        key,
        accepts: expectation(schema),
        defaultValue: "default" in json ? JSON.stringify(json.default) : null,
        description: schema.description ?? "",
      };
    }),
  );
}

/** JSON Schema (draft 7, which YAML editors read) of a configuration file. */
export function jsonSchema(): Record<string, unknown> {
  const schema = z.toJSONSchema(configSchema, {
    io: "input",
    target: "draft-7",
    override: ({ jsonSchema: json }) => {
      // Every integer of zod is bounded by what a double can hold; nobody needs to read that.
      if (json.minimum === Number.MIN_SAFE_INTEGER) delete json.minimum;
      if (json.maximum === Number.MAX_SAFE_INTEGER) delete json.maximum;
    },
  });
  const notBuilt = Object.entries(NOT_BUILT_KEYS).map(([key, { off, feature }]) => [
    key,
    { enum: off, description: `Not built yet: ${feature}. Only the value that leaves it off is accepted.` },
  ]);
  return {
    ...schema,
    title: "Configuration of a thurstone run",
    properties: { ...schema.properties, ...Object.fromEntries(notBuilt) },
  };
}

/** Body of docs/configuration.md: every key with what it accepts, its default, and what it means. */
export function configurationMarkdown(): string {
  const keys = describeKeys();
  const sections = Object.keys(configSections).map((section) =>
    [
      `## ${section}`,
      "",
      ...keys
        .filter((one) => one.section === section)
        .map(({ key, accepts, defaultValue, description }) => {
          const fallback = defaultValue === null ? "required" : `default \`${defaultValue}\``;
          return `- **\`${key}\`**: ${accepts.replaceAll("|", "or")}; ${fallback}. ${description}`;
        }),
    ].join("\n"),
  );
  const notBuilt = Object.entries(NOT_BUILT_KEYS).map(
    ([key, { off, feature }]) =>
      `- **\`${key}\`**: ${feature}. Accepted: ${off.map((value) => `\`${JSON.stringify(value)}\``).join(", ")}.`,
  );
  return [
    "# Configuration",
    "",
    "One flat namespace of keys with the names of Hugging Face and TRL: the same in YAML files, as `--flags` and in TypeScript.",
    "Precedence: defaults, then files from left to right, then flags; of a flag given twice the last counts. Relative paths,",
    "also those in a file, are relative to the current directory. Environment variables are not read. Every problem is listed",
    "at once, with file, line and column. In flags a list is several words (`--reward_funcs fidelity format`), a switch may",
    "stand alone (`--bf16`), `none` and `null` mean null where null is accepted, and dashes within a name count as underscores.",
    "",
    "A step is one optimizer update, counted from 1. A rollout batch is `prompts_per_step` prompts with `num_generations`",
    "completions each; it feeds `num_iterations` x (completions / update size) steps. `thurstone train --dry-run` prints the",
    "arithmetic of a configuration.",
    "",
    "This page is made from the schema by `npx vitest run test/config/reference.test.ts --update`.",
    "",
    ...sections.flatMap((section) => [section, ""]),
    "## Known, not built yet",
    "",
    "Keys that users of Hugging Face, TRL and the reference know. They may be set to the value that leaves the feature off;",
    "any other value is an error that names the feature.",
    "",
    ...notBuilt,
    "",
  ].join("\n");
}

/** All keys that a task reads as flags, for its command's help. */
export function flagHelp(task: "train" | "sft" = "train"): string {
  const foreign: readonly string[] = TASKS[task].foreignKeys;
  const keys = describeKeys().filter(({ key }) => !foreign.includes(key));
  return Object.keys(configSections)
    .filter((section) => keys.some((one) => one.section === section))
    .map((section) => {
      const own = keys.filter((one) => one.section === section);
      const lines = own.map(({ key, defaultValue, description }) => {
        const fallback = defaultValue === null ? "" : ` [${defaultValue}]`;
        return `  --${key}${fallback}\n      ${description}`;
      });
      return [`${section}:`, ...lines].join("\n");
    })
    .join("\n\n");
}
