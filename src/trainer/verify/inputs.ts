/**
 * What a run was made from, as its folder says and as it lies there now: settings, data files, model, prompt.
 *
 * @module
 */
import type { ConfigInput, SharedConfig } from "../../config/index.js";
import { RunError } from "../../errors.js";
import { templateDigest } from "../../prompts/index.js";
import { digestModel } from "../evaluation/index.js";
import { dataFingerprint, filesOf, keysFingerprint } from "../fingerprint.js";
import type { Fingerprint } from "../fingerprint.js";
import type { RunBasis } from "../prepare.js";
import type { Comparisons } from "./comparisons.js";
import type { Environment } from "./environment.js";
import { PROCESS_KEYS } from "./processes.js";

/** Keys that say where things lie on this machine and how it works; none of them is what the run was. */
export const VERIFY_KEYS = [
  "data_file_paths",
  "image_folders",
  "eval_data_file_paths",
  "eval_image_folders",
  "model_name_or_path",
  "rewards",
  "python_reward",
  "python_bin",
  "device",
  "worker_threads",
  "worker_timeout",
  "image_cache_bytes",
  "max_steps",
  "num_train_epochs",
  ...PROCESS_KEYS,
] as const satisfies readonly (keyof ConfigInput)[];

/** What may be elsewhere, or otherwise, than when the run was made. */
export type VerifyKeys = Partial<Pick<ConfigInput, (typeof VERIFY_KEYS)[number]>>;

/**
 * Compares the configuration with the run's fingerprint.
 *
 * @returns the configuration with what the fingerprint says where they differ, so that one changed key is one difference
 */
export function checkSettings(
  config: Readonly<Record<string, unknown>>,
  { fingerprint }: Pick<Environment, "fingerprint">,
  comparisons: Comparisons,
): Record<string, unknown> {
  const now = keysFingerprint(config);
  const checked: Record<string, unknown> = { ...config };
  for (const name of namesOf(fingerprint, now, /^config\./)) {
    const key = name.replace(/^config\./, "");
    const [recorded, found] = [fingerprint, now].map((of) => (of[name] === undefined ? null : valueOf(of[name], name)));
    comparisons.compare({
      about: "configuration",
      step: null,
      what: `${key} in config.resolved.yaml`,
      recorded,
      found,
    });
    if (fingerprint[name] === undefined) delete checked[key];
    else checked[key] = recorded;
  }
  return checked;
}

function valueOf(text: string, name: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new RunError("VERIFY_ENVIRONMENT", `${name} in environment.json is no JSON value: it was changed by hand.`, {
      cause,
      fields: { name },
    });
  }
}

/** Compares a checkpoint's fingerprint with the run's, settings and data alone. */
export function checkFingerprint(
  recorded: Fingerprint,
  found: Fingerprint,
  step: number,
  comparisons: Comparisons,
): void {
  for (const name of namesOf(recorded, found, /^(config|data|schedule)\./)) {
    comparisons.compare({
      about: "configuration",
      step: null,
      what: `${name} in environment.json, as the checkpoint of step ${step} has it`,
      recorded: recorded[name] ?? null,
      found: found[name] ?? null,
    });
  }
}

/** Compares data files, schedule, prompt and model. */
export async function checkSources(
  { config, plan }: RunBasis,
  { fingerprint, prompt, model }: Environment,
  comparisons: Comparisons,
): Promise<void> {
  const now = await dataFingerprint(config, plan.steps);
  for (const name of namesOf(fingerprint, now, /^(data|schedule)\./)) {
    const pair = { recorded: fingerprint[name] ?? null, found: now[name] ?? null };
    const [kind, number] = name.split(".");
    const what =
      kind === "data"
        ? `data file ${fileAt(Number(number), config)}`
        : number === "steps"
          ? "steps that the schedule is made for"
          : "completions of an update";
    comparisons.compare({ about: kind === "data" ? "data" : "configuration", step: null, what, ...pair });
  }
  const { question_template: template } = config;
  const digest = templateDigest(template);
  const what = `wording of the question template ${template} in this version`;
  comparisons.compare({ about: "prompt", step: null, what, recorded: prompt.digest, found: digest });
  await checkModel(config, model.source, comparisons);
}

function fileAt(index: number, config: SharedConfig): string {
  return `${index + 1} (${filesOf(config)[index] ?? "not given"})`;
}

async function checkModel(
  { model_name_or_path: path, model_revision: revision }: SharedConfig,
  source: Environment["model"]["source"],
  comparisons: Comparisons,
): Promise<void> {
  const recorded = new Map(source?.files?.map(({ name, sha256 }) => [name, sha256]));
  if (recorded.size === 0) {
    const why = source === undefined ? "this run was recorded before that was done" : "they are the hub's";
    return comparisons.leaveOut(`The files of the model ${path}: no digests of them were recorded, ${why}.`);
  }
  const found = new Map((await digestModel(path, revision)).files?.map(({ name, sha256 }) => [name, sha256]));
  for (const name of new Set([...recorded.keys(), ...found.keys()])) {
    const pair = { recorded: recorded.get(name) ?? null, found: found.get(name) ?? null };
    comparisons.compare({ about: "model", step: null, what: `${name} of the model ${path}`, ...pair });
  }
}

function namesOf(a: Fingerprint, b: Fingerprint, pattern: RegExp): string[] {
  return [...new Set([...Object.keys(a), ...Object.keys(b)])].filter((name) => pattern.test(name));
}
