/**
 * Configuration files: YAML with line numbers. Defaults < files from left to right < flags.
 *
 * @module
 */
import { readFile } from "node:fs/promises";
import { isMap, isNode, isScalar, LineCounter, parseDocument } from "yaml";
import type { Document, YAMLMap } from "yaml";
import { configError, problemAt } from "./problems.js";
import type { ConfigProblem, Place } from "./problems.js";
import { checkConfig } from "./resolve.js";
import type { ResolveOptions } from "./resolve.js";
import type { ResolvedConfig, ResolvedSftConfig } from "./schema.js";
import { SFT, TRAIN } from "./tasks.js";
import type { Task } from "./tasks.js";

/** Problems that hide values: something may have been set where they are. */
const UNREAD_CODES: readonly string[] = ["CONFIG_FILE", "CONFIG_YAML", "CONFIG_FLAG"];

/** Why a file cannot be read, by the codes a user can act on. */
const UNREADABLE: Readonly<Record<string, string>> = {
  ENOENT: "does not exist",
  EISDIR: "is a folder",
  ENOTDIR: "lies below a file",
  EACCES: "is not readable for this user",
};

/** What one file says. */
interface FileContent {
  readonly values: ReadonlyMap<string, { readonly value: unknown; readonly place: Place }>;
  readonly problems: readonly ConfigProblem[];
}

/** Values without the checks, as far as they could be read. */
export interface ConfigSources {
  /** Values by key, later sources over earlier ones. */
  readonly values: Readonly<Record<string, unknown>>;
  readonly places: ReadonlyMap<string, Place>;
  readonly problems: readonly ConfigProblem[];
}

export interface LoadOptions extends ResolveOptions {
  /** What is known to be wrong already, for the same report; `readFlags` returns such problems. Default: nothing. */
  readonly problems?: readonly ConfigProblem[];
}

/**
 * Reads configuration files and flags of `train` and checks them together.
 *
 * @param files YAML files; relative to the current directory, as are the paths inside them
 * @param overrides values by key that win over the files, as `parseFlags` makes them
 * @throws ConfigError that lists every problem with file, line and column in `fields.problems`
 */
export async function loadConfig(
  files: readonly string[],
  overrides: Readonly<Record<string, unknown>> = {},
  options: LoadOptions = {},
): Promise<ResolvedConfig> {
  return loadFor(TRAIN, files, overrides, options);
}

/** The same for `sft`: keys that only reinforcement learning reads are errors. */
export async function loadSftConfig(
  files: readonly string[],
  overrides: Readonly<Record<string, unknown>> = {},
  options: Omit<LoadOptions, "customRewards"> = {},
): Promise<ResolvedSftConfig> {
  return loadFor(SFT, files, overrides, options);
}

async function loadFor<Config>(
  task: Task<Config>,
  files: readonly string[],
  overrides: Readonly<Record<string, unknown>>,
  options: LoadOptions,
): Promise<Config> {
  const sources = await readConfigSources(files, overrides);
  const { problems, config } = checkConfig(task, sources.values, sources.places, options);
  const unreadable = [...sources.problems, ...(options.problems ?? [])];
  if (config !== null && unreadable.length === 0) return config;

  // What a file or a flag that cannot be read leaves out is no problem of its own.
  const unread = unreadable.some(({ code }) => UNREAD_CODES.includes(code));
  const found = unread ? problems.filter(({ code }) => code !== "CONFIG_MISSING_KEY") : problems;
  throw configError(inReadingOrder([...unreadable, ...found], files));
}

/** Reads files and flags without checking values; `loadConfig` is what most callers want. */
export async function readConfigSources(
  files: readonly string[],
  overrides: Readonly<Record<string, unknown>> = {},
): Promise<ConfigSources> {
  const values = new Map<string, unknown>();
  const places = new Map<string, Place>();
  const problems: ConfigProblem[] = [];
  for (const file of files) {
    const content = await readFileContent(file);
    problems.push(...content.problems);
    for (const [key, { value, place }] of content.values) {
      values.set(key, value);
      places.set(key, place);
    }
  }
  for (const [key, value] of Object.entries(overrides)) {
    if (value === undefined) continue;
    values.set(key, value);
    places.set(key, { file: null, line: null, column: null, text: `--${key}` });
  }
  return { values: Object.fromEntries(values), places, problems };
}

async function readFileContent(file: string): Promise<FileContent> {
  let text: string;
  try {
    text = await readFile(file, "utf8");
  } catch (cause) {
    const reason = UNREADABLE[(cause as NodeJS.ErrnoException).code ?? ""] ?? `cannot be read: ${String(cause)}`;
    const place = { file, line: null, column: null, text: file };
    const message = `the configuration file ${reason}; paths are relative to ${process.cwd()}`;
    return { values: new Map(), problems: [problemAt(place, "CONFIG_FILE", null, message)] };
  }
  return parseConfigText(file, text);
}

/** Reads the text of one configuration file. */
export function parseConfigText(file: string, text: string): FileContent {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const placeAt = (offset: number): Place => {
    const { line, col: column } = lines.linePos(offset);
    return { file, line, column, text: `${file}:${line}:${column}` };
  };

  const problems = [...document.errors, ...document.warnings].map((error) => {
    const place = placeAt(error.pos[0]);
    if (error.code !== "DUPLICATE_KEY") {
      return problemAt(place, "CONFIG_YAML", null, `not valid YAML: ${error.message}`);
    }
    const [key = ""] = /^[^\s:]*/.exec(text.slice(error.pos[0])) ?? [];
    return problemAt(place, "CONFIG_DUPLICATE_KEY", key, `${key} is set a second time in this file; keep one`);
  });
  if (problems.some(({ code }) => code === "CONFIG_YAML")) return { values: new Map(), problems };

  const { contents } = document;
  if (contents === null || (isScalar(contents) && contents.value === null)) return { values: new Map(), problems };
  if (!isMap(contents)) {
    const message = 'a configuration is a list of "key: value" lines';
    return { values: new Map(), problems: [...problems, problemAt(placeAt(0), "CONFIG_YAML", null, message)] };
  }
  const content = readMap(document, contents, placeAt);
  return { values: content.values, problems: [...problems, ...content.problems] };
}

function readMap(document: Document, map: YAMLMap, placeAt: (offset: number) => Place): FileContent {
  const values = new Map<string, { value: unknown; place: Place }>();
  const problems: ConfigProblem[] = [];
  for (const { key, value } of map.items) {
    const name = isScalar(key) ? String(key.value) : String(key);
    const place = placeAt((isNode(key) ? key.range?.[0] : undefined) ?? 0);
    try {
      values.set(name, { value: isNode(value) ? value.toJS(document) : null, place });
    } catch (cause) {
      // An alias without an anchor, or one that would unfold to something huge.
      problems.push(problemAt(place, "CONFIG_YAML", name, `not valid YAML: ${String(cause)}`));
    }
  }
  return { values, problems };
}

/** By file, line and column; then flags; then what is missing everywhere. */
function inReadingOrder(problems: readonly ConfigProblem[], files: readonly string[]): ConfigProblem[] {
  const rank = ({ file, where }: ConfigProblem): number =>
    file !== null ? files.indexOf(file) : files.length + (where === "" ? 1 : 0);
  return [...problems].sort(
    (a, b) => rank(a) - rank(b) || (a.line ?? 0) - (b.line ?? 0) || (a.column ?? 0) - (b.column ?? 0),
  );
}
