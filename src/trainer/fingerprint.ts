/**
 * What decides whether a resumed run can equal the run it goes on with, and what a run record names.
 *
 * @module
 */
import { updateSize } from "../config/index.js";
import type { ResolvedConfig, SharedConfig } from "../config/index.js";
import { RunError } from "../errors.js";
import type { ModelDescription } from "../policy/index.js";
import { digestFile } from "./evaluation/index.js";

/** Keys that may change between a run and its continuation without changing a single number of it. */
const FREE_KEYS: readonly (keyof ResolvedConfig)[] = [
  "output_dir",
  "run_name",
  "overwrite_output_dir",
  "resume_from_checkpoint",
  "save_steps",
  "save_total_limit",
  "load_best_model_at_end",
  "save_only_model",
  "async_save",
  "termination_grace",
  "logging_steps",
  "log_completions",
  "report_to",
  "python_bin",
  "worker_timeout",
  "heartbeat_timeout",
  "rank_timeout",
  "worker_address",
  "worker_key_file",
  "worker_wait",
  "strategy",
  "deepspeed",
  "ds3_gather_for_generation",
  "activation_offloading",
  // These three count only as their product.
  "num_processes",
  "per_device_train_batch_size",
  "gradient_accumulation_steps",
  "image_cache_bytes",
  "max_steps",
  "num_train_epochs",
  "data_file_paths",
  "image_folders",
  "dataset_streaming",
  "eval_data_file_paths",
  "eval_image_folders",
];

/** What a run is, by name. */
export type Fingerprint = Readonly<Record<string, string>>;

/** The part of a fingerprint that is known before a model is loaded: settings and data. They must not change. */
export async function settingsFingerprint(config: SharedConfig, steps: number): Promise<Fingerprint> {
  return { ...keysFingerprint({ ...config }), ...(await dataFingerprint(config, steps)) };
}

/** The keys that a number of the run may depend on. */
export function keysFingerprint(config: Readonly<Record<string, unknown>>): Fingerprint {
  const settings = Object.entries(config)
    .filter(([key]) => !FREE_KEYS.includes(key as keyof ResolvedConfig))
    .map(([key, value]) => [`config.${key}`, JSON.stringify(value)] as const);
  return Object.fromEntries(settings);
}

/** What the data files hold, and what follows from how much that is. */
export async function dataFingerprint(config: SharedConfig, steps: number): Promise<Fingerprint> {
  const digests = await Promise.all(filesOf(config).map((path) => digestFile(path)));
  return {
    ...Object.fromEntries(digests.map(({ sha256 }, index) => [`data.${index}`, sha256] as const)),
    "schedule.update": JSON.stringify(updateSize(config)),
    // The learning rate of every step depends on how many there will be.
    ...(!config.lr_scheduler_type.startsWith("constant") && { "schedule.steps": String(steps) }),
  };
}

/** The files behind `data.0`, `data.1` and so on. */
export function filesOf(config: Pick<SharedConfig, "data_file_paths" | "eval_data_file_paths">): readonly string[] {
  return [...config.data_file_paths, ...config.eval_data_file_paths];
}

/** The part that the worker tells: versions and machine. When they change, the last bits may. */
export function machineFingerprint(
  description: Pick<ModelDescription, "versions" | "device" | "ranks" | "threads" | "cpuFeatures">,
): Fingerprint {
  return Object.fromEntries([
    ...Object.entries(description.versions).map(([name, version]) => [`version.${name}`, version] as const),
    ["machine.device", description.device],
    ["machine.ranks", String(description.ranks)],
    ["machine.threads", String(description.threads)],
    ["machine.cpu_features", description.cpuFeatures.join(" ")],
  ]);
}

/** @throws RunError RESUME_MISMATCH when settings or data differ: it would be another run */
export function requireSameSettings(before: Fingerprint, now: Fingerprint): void {
  const fatal = differences(before, now).filter(({ key }) => isSetting(key));
  if (fatal.length === 0) return;
  throw new RunError(
    "RESUME_MISMATCH",
    `the checkpoint belongs to another run: ${fatal.map(({ text }) => text).join("; ")}. Resume with the settings and data of that run, or start a new one.`,
    { fields: { differences: fatal.map(({ key }) => key) } },
  );
}

/** @returns in words, what differs in versions or machine: the run goes on, bits may differ */
export function machineDifferences(before: Fingerprint, now: Fingerprint): string[] {
  return differences(before, now)
    .filter(({ key }) => !isSetting(key))
    .map(({ text }) => text);
}

function isSetting(key: string): boolean {
  return /^(config|data|schedule)\./.test(key);
}

function differences(before: Fingerprint, now: Fingerprint): { readonly key: string; readonly text: string }[] {
  return [...new Set([...Object.keys(before), ...Object.keys(now)])]
    .filter((key) => before[key] !== now[key])
    .map((key) => ({ key, text: `${key} was ${before[key] ?? "not set"} and is ${now[key] ?? "not set"}` }));
}
