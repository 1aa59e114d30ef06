/**
 * A model as a folder that other programs read, made from a run, one of its checkpoints, or an adapter.
 *
 * @module
 */
import { existsSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { configSections, resolveConfig } from "../config/index.js";
import type { ConfigInput } from "../config/index.js";
import { RunError } from "../errors.js";
import { latestCheckpoint, openRun, verifyCheckpoint } from "../runs/index.js";
import { openPolicy, OWN_WORKERS } from "./open-policy.js";
import type { OpenPolicyOptions } from "./open-policy.js";

/** What is exported, and how. */
export interface ExportSourceOptions extends Pick<OpenPolicyOptions, "connect" | "onStderr" | "signal"> {
  /** A run folder (its last checkpoint), a checkpoint of one, or a model or adapter: folder or hub id. */
  readonly source: string;
  /** The folder to write; must not exist. */
  readonly out: string;
  /** Add an adapter to what it adapts and write the whole model. Default false: the adapter alone. */
  readonly merge?: boolean;
  /** Default: that of the run; cpu for a model or adapter. */
  readonly device?: string;
  /** Processes that hold the model of a checkpoint. Default: one of this machine, whatever the run had. */
  readonly processes?: Partial<Pick<ConfigInput, "num_processes" | "strategy" | "deepspeed">>;
}

/** What was exported. */
export interface ExportedSource {
  readonly folder: string;
  /** Step of the checkpoint; null for a model or adapter. */
  readonly step: number | null;
}

/**
 * @throws RunError RUN_CHECKPOINT_DAMAGED, RUN_CHECKPOINT_MISSING, EXPORT_NOTHING for a run without checkpoints; WorkerError
 *   BAD_ARGUMENT when `out` exists, or there is nothing to merge
 */
export async function exportSource(options: ExportSourceOptions): Promise<ExportedSource> {
  const { source, merge = false, device, processes = {} } = options;
  const out = resolve(options.out);
  const checkpoint = await findCheckpoint(source);
  const opening = {
    writable: [dirname(out)],
    ...(options.connect && { connect: options.connect }),
    ...(options.onStderr && { onStderr: options.onStderr }),
    ...(options.signal && { signal: options.signal }),
  };
  if (checkpoint === null || existsSync(join(checkpoint.folder, "model"))) {
    const model = checkpoint === null ? source : join(checkpoint.folder, "model");
    const config = { model_name_or_path: model, torch_dtype: "float32", device: device ?? "cpu", beta: 0 } as const;
    await using policy = await openPolicy(config, { ...opening, inference: true });
    await policy.export(out, { merge });
    return { folder: out, step: checkpoint?.step ?? null };
  }
  const config = await modelConfig(checkpoint.run, { ...processes, ...(device !== undefined && { device }) });
  await using policy = await openPolicy(config, opening);
  await policy.restore(checkpoint.folder);
  await policy.export(out, { merge });
  return { folder: out, step: checkpoint.step };
}

interface FoundCheckpoint {
  readonly run: string;
  readonly folder: string;
  readonly step: number;
}

/** Whole and undamaged; null for what is neither a run nor a checkpoint of one. */
async function findCheckpoint(source: string): Promise<FoundCheckpoint | null> {
  const path = resolve(source);
  if (existsSync(join(path, "config.resolved.yaml"))) {
    const latest = await latestCheckpoint(path);
    if (latest === undefined) {
      throw new RunError(
        "EXPORT_NOTHING",
        `${source} holds no complete checkpoint. The model that a finished run leaves is in its folder "model"; name that, or another run.`,
      );
    }
    const { step, folder } = await verifyCheckpoint(latest.folder);
    return { run: path, folder, step };
  }
  if (basename(dirname(path)) !== "checkpoints" || !existsSync(join(path, "manifest.json"))) return null;
  const { step } = await verifyCheckpoint(path);
  return { run: dirname(dirname(path)), folder: path, step };
}

/** A checkpoint is read by any number of processes, and nobody else is to be waited for. */
const ONE_PROCESS = {
  ...OWN_WORKERS,
  num_processes: 1,
  strategy: null,
  deepspeed: null,
  ds3_gather_for_generation: null,
} as const satisfies Partial<ConfigInput>;

/** The keys that decide which model is opened and which of its weights a checkpoint holds; nothing else of the run. */
async function modelConfig(run: string, given: Partial<ConfigInput>): Promise<ConfigInput> {
  const config = await (await openRun(run)).config();
  const { Model, Optimiser, Hardware } = configSections;
  const keys = [...Object.keys({ ...Model, ...Optimiser, ...Hardware }), "seed", "min_pixels", "max_pixels"];
  const own = Object.fromEntries(Object.entries(config).filter(([key]) => keys.includes(key)));
  return resolveConfig({ ...(own as unknown as ConfigInput), ...ONE_PROCESS, ...given, output_dir: run, beta: 0 });
}
