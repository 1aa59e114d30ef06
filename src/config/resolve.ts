/**
 * From what a user wrote to a complete configuration without contradictions, or one error that lists all problems.
 *
 * @module
 */
import type { z } from "zod";
import { checks } from "./checks.js";
import { expectation } from "./expectation.js";
import { nearestName } from "./nearest.js";
import { isNotBuiltKey, notBuilt, NOT_BUILT_KEYS } from "./not-built.js";
import { configError, NOWHERE, problemAt } from "./problems.js";
import type { ConfigProblem, Place } from "./problems.js";
import { presetOf } from "./reference-parity.js";
import { configSchema } from "./schema.js";
import type {
  ConfigInput,
  ConfigKey,
  ParsedConfig,
  ResolvedConfig,
  ResolvedSftConfig,
  SftConfigInput,
} from "./schema.js";
import { SFT, TRAIN } from "./tasks.js";
import type { Task } from "./tasks.js";

/** Schema of each key. */
const KEYS: Readonly<Record<string, z.ZodType>> = configSchema.shape;

/** Every name a configuration may contain. */
const knownKeys: readonly string[] = [...Object.keys(KEYS), ...Object.keys(NOT_BUILT_KEYS)];

export interface ResolveOptions {
  /** Names of rewards the caller supplies besides the built-in ones. Default: none. */
  readonly customRewards?: readonly string[];
  /** Keys that must not be empty, although they have a default. Default: none. */
  readonly require?: readonly ConfigKey[];
}

/** Where each value was written, by key. */
export type Places = ReadonlyMap<string, Place>;

function show(value: unknown): string {
  const text = typeof value === "number" ? String(value) : (JSON.stringify(value) ?? String(value));
  return text.length > 80 ? `${text.slice(0, 77)}...` : text;
}

function unknownKey(key: string, place: Place): ConfigProblem {
  const near = nearestName(key, knownKeys);
  const advice = near === null ? "`thurstone schema` lists all keys" : `did you mean "${near}"?`;
  return problemAt(place, "CONFIG_UNKNOWN_KEY", key, `unknown key "${key}"; ${advice}`);
}

function wrongValue(key: string, value: unknown, error: z.ZodError, place: Place): ConfigProblem {
  // Own conditions of a key say what they want themselves; all others follow from the schema.
  const own = error.issues.find((issue) => issue.message.startsWith("must be"))?.message;
  const message = `${key} is ${show(value)}; it ${own ?? `must be ${expectation(KEYS[key]!)}`}`;
  return problemAt(place, "CONFIG_INVALID_VALUE", key, message);
}

function isForeign(task: Task<unknown>, key: string): boolean {
  return (task.foreignKeys as readonly string[]).includes(key);
}

/** Parses key by key, so that one wrong value hides no other. */
function parse(
  task: Task<unknown>,
  input: Readonly<Record<string, unknown>>,
  placeOf: (key: string) => Place,
  options: ResolveOptions,
): { readonly values: Record<string, unknown>; readonly wrong: Set<string>; readonly problems: ConfigProblem[] } {
  const problems: ConfigProblem[] = [];
  const wrong = new Set<string>();
  const values: Record<string, unknown> = {};
  const fail = (key: string, problem: ConfigProblem): void => {
    wrong.add(key);
    problems.push(problem);
  };

  for (const [key, value] of Object.entries(input)) {
    if (value === undefined) continue;
    const missing = notBuilt(key, value);
    if (missing !== null) fail(key, problemAt(placeOf(key), "CONFIG_NOT_BUILT", key, missing));
    else if (!Object.hasOwn(KEYS, key) && !isNotBuiltKey(key)) fail(key, unknownKey(key, placeOf(key)));
    else if (isForeign(task, key)) {
      const message = `${key} cannot matter here: ${task.foreignReason}. Remove it`;
      fail(key, problemAt(placeOf(key), "CONFIG_OTHER_TASK", key, message));
    }
  }

  const preset = presetOf(input);
  for (const [key, schema] of Object.entries(KEYS)) {
    if (wrong.has(key) || isForeign(task, key)) continue;
    const value = input[key] === undefined ? preset[key] : input[key];
    const result = schema.safeParse(value);
    if (result.success) values[key] = result.data;
    else if (value === undefined) {
      fail(
        key,
        problemAt(NOWHERE, "CONFIG_MISSING_KEY", key, `${key} is missing: it has no default, so it must be set`),
      );
    } else fail(key, wrongValue(key, value, result.error, placeOf(key)));
  }

  for (const key of options.require ?? []) {
    const value = values[key];
    const empty = value === null || (Array.isArray(value) && value.length === 0);
    if (empty)
      fail(
        key,
        problemAt(
          placeOf(key),
          "CONFIG_MISSING_KEY",
          key,
          `${key} is missing: nothing can be done without it, so it must be set`,
        ),
      );
  }
  return { values, wrong, problems };
}

/**
 * All that is wrong with an input, and the configuration if nothing is.
 *
 * @param places where values were written, for the messages
 */
export function checkConfig<Config>(
  task: Task<Config>,
  input: Readonly<Record<string, unknown>>,
  places: Places = new Map(),
  options: ResolveOptions = {},
): { readonly problems: readonly ConfigProblem[]; readonly config: Config | null } {
  const placeOf = (key: string): Place => places.get(key) ?? NOWHERE;
  const { values, wrong, problems } = parse(task, input, placeOf, options);
  const parsed = values as ParsedConfig;

  for (const { keys, find } of checks) {
    if (keys.some((key) => wrong.has(key) || isForeign(task, key))) continue;
    const finding = find(parsed, { customRewards: options.customRewards ?? [] });
    if (finding === null) continue;
    const key = keys.find((one) => places.has(one)) ?? keys[0]!;
    problems.push(problemAt(placeOf(key), finding.code, key, finding.message));
  }
  return { problems, config: problems.length === 0 ? task.derive(parsed) : null };
}

function resolveFor<Config>(task: Task<Config>, input: object, options: ResolveOptions): Config {
  const { problems, config } = checkConfig(task, { ...input }, new Map(), options);
  if (config === null) throw configError(problems);
  return config;
}

/**
 * A complete configuration of `train` from the keys a user set; resolving the result again changes nothing.
 *
 * @throws ConfigError that lists every problem in `fields.problems`
 */
export function resolveConfig(input: ConfigInput | ResolvedConfig, options: ResolveOptions = {}): ResolvedConfig {
  return resolveFor(TRAIN, input, options);
}

/** The same for `sft`: keys that only reinforcement learning reads are errors. */
export function resolveSftConfig(
  input: SftConfigInput | ResolvedSftConfig,
  options: Pick<ResolveOptions, "require"> = {},
): ResolvedSftConfig {
  return resolveFor(SFT, input, options);
}

/**
 * The values of some keys alone, with their defaults, whatever the other keys say: for functions that are given a whole
 * configuration, resolved or not, and need a part of it. Contradictions between keys are not looked for.
 *
 * @throws ConfigError that lists every wrong value in `fields.problems`
 */
export function readKeys<K extends ConfigKey>(
  input: Partial<Pick<ConfigInput, K>>,
  keys: readonly K[],
): Pick<ParsedConfig, K> {
  const results = keys.map((key) => ({ key, result: KEYS[key]!.safeParse(input[key]) }));
  const problems = results.flatMap(({ key, result }) =>
    result.success ? [] : [wrongValue(key, input[key], result.error, NOWHERE)],
  );
  if (problems.length > 0) throw configError(problems);
  return Object.fromEntries(results.map(({ key, result }) => [key, result.data])) as Pick<ParsedConfig, K>;
}

/** Returns its argument: gives editors the keys, their types and their documentation. */
export function defineConfig(input: ConfigInput): ConfigInput {
  return input;
}
