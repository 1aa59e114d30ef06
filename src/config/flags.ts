/**
 * Configuration keys as command line flags: `--key value`, `--key=value`, `--list one two`, and `--switch` alone.
 *
 * Dashes within a name count as underscores. A flag given twice counts as given last, so that a script can pass its own
 * arguments on behind its defaults. Whether a value is allowed is decided by the schema, as for YAML.
 *
 * @module
 */
import type { z } from "zod";
import { acceptedTypes } from "./expectation.js";
import { isNotBuiltKey, NOT_BUILT_KEYS } from "./not-built.js";
import { configError, NOWHERE, problemAt } from "./problems.js";
import type { ConfigProblem } from "./problems.js";
import { configSchema } from "./schema.js";

/** What a key takes on the command line. */
interface FlagShape {
  readonly types: ReadonlySet<string>;
  readonly list: boolean;
}

const NUMBER = /^[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?$/i;
const YAML_FILE = /\.ya?ml$/i;
/** Spellings that Hugging Face's argument parser reads as true and as false. */
const YES = /^(true|yes|t|y|1)$/i;
const NO = /^(false|no|f|n|0)$/i;

function shapeOf(key: string): FlagShape {
  if (isNotBuiltKey(key)) {
    const off: readonly unknown[] = NOT_BUILT_KEYS[key].off;
    return { types: new Set(off.map((value) => (value === null ? "null" : typeof value))), list: true };
  }
  // An unknown key is reported with all other problems, by the loader.
  if (!Object.hasOwn(configSchema.shape, key)) return { types: new Set(["string", "boolean"]), list: true };
  return acceptedTypes((configSchema.shape as Readonly<Record<string, z.ZodType>>)[key]!);
}

function convert(text: string, { types }: FlagShape): unknown {
  const numeric = types.has("number") || types.has("integer");
  if (types.has("null") && /^(null|none)$/i.test(text)) return null;
  if (types.has("boolean") && (YES.test(text) || NO.test(text))) return YES.test(text);
  if (numeric && NUMBER.test(text)) return Number(text);
  if (types.has("object") && text.startsWith("{")) return readObject(text);
  return text;
}

/** As Hugging Face's flags take them. What is no JSON stays a text, which the schema then refuses. */
function readObject(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    if (error instanceof SyntaxError) return text;
    throw error;
  }
}

function valueOf(flag: string, shape: FlagShape, texts: readonly string[]): { value: unknown } | { wrong: string } {
  if (texts.length === 0) {
    if (shape.types.has("boolean")) return { value: true };
    return { wrong: `${flag} needs a value, as in "${flag} VALUE"` };
  }
  const values = texts.map((text) => convert(text, shape));
  if (values.length === 1) return { value: values[0] };
  if (shape.list) return { value: values };
  const got = `${flag} takes one value, and got ${texts.length}: ${texts.map((text) => `"${text}"`).join(" ")}`;
  const file = texts.slice(1).some((text) => YAML_FILE.test(text));
  return { wrong: file ? `${got}; configuration files stand before all flags, or behind --config` : got };
}

/** What arguments say, as far as they could be read. */
export interface ReadFlags {
  /** Values by key, for `loadConfig`. */
  readonly values: Record<string, unknown>;
  /** CONFIG_FLAG for arguments that belong to no flag, missing values, and several values for one. */
  readonly problems: readonly ConfigProblem[];
}

/** Reads the arguments that are left when a command has taken its own options. */
export function readFlags(args: readonly string[]): ReadFlags {
  const problems: ConfigProblem[] = [];
  const wrong = (key: string | null, message: string): void => {
    problems.push(problemAt(NOWHERE, "CONFIG_FLAG", key, message));
  };
  const values = new Map<string, unknown>();
  let at = 0;
  while (at < args.length) {
    const match = /^--([A-Za-z][\w-]*)(?:=(.*))?$/s.exec(args[at]!);
    at += 1;
    if (match === null) {
      wrong(null, `"${args[at - 1]}" belongs to no flag`);
      continue;
    }
    const texts: string[] = [];
    if (match[2] !== undefined) texts.push(match[2]);
    else while (at < args.length && !args[at]!.startsWith("--")) texts.push(args[at++]!);

    const key = match[1]!.replaceAll("-", "_");
    const result = valueOf(`--${match[1]}`, shapeOf(key), texts);
    if ("wrong" in result) wrong(key, result.wrong);
    else values.set(key, result.value);
  }
  return { values: Object.fromEntries(values), problems };
}

/**
 * Values by key, where nothing else can be wrong.
 *
 * @throws ConfigError with the problems that `readFlags` returns
 */
export function parseFlags(args: readonly string[]): Record<string, unknown> {
  const { values, problems } = readFlags(args);
  if (problems.length > 0) throw configError(problems);
  return values;
}
