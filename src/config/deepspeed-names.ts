/**
 * The settings of DeepSpeed that do here what its documentation says.
 *
 * DeepSpeed ignores a name that it does not know outside of `zero_optimization`, and many that it knows would contradict
 * the worker: its own checkpoints, gradients that are summed another way, weights that are cut up differently.
 *
 * @module
 */
import { nearestName } from "./nearest.js";

/** Passed on, or held against the configuration. A list says what a section may hold; null is any value. */
const NAMES: Readonly<Record<string, readonly string[] | null>> = {
  train_batch_size: null,
  train_micro_batch_size_per_gpu: null,
  gradient_accumulation_steps: null,
  gradient_clipping: null,
  optimizer: ["type", "params"],
  scheduler: null,
  fp16: null,
  bf16: ["enabled"],
  amp: null,
  torch_autocast: null,
  steps_per_print: null,
  wall_clock_breakdown: null,
  memory_breakdown: null,
  dump_state: null,
  log_level: null,
  comms_logger: ["enabled", "verbose", "prof_all", "debug", "prof_ops"],
  communication_data_type: null,
  zero_allow_untested_optimizer: null,
  zero_force_ds_cpu_optimizer: null,
  zero_optimization: [
    "stage",
    "contiguous_gradients",
    "reduce_scatter",
    "reduce_bucket_size",
    "allgather_partitions",
    "allgather_bucket_size",
    "overlap_comm",
    "offload_optimizer",
    "offload_param",
    "sub_group_size",
    "stage3_prefetch_bucket_size",
    "stage3_param_persistence_threshold",
    "stage3_model_persistence_threshold",
    "stage3_max_live_parameters",
    "stage3_max_reuse_distance",
    "stage3_gather_16bit_weights_on_model_save",
  ],
  "zero_optimization.offload_optimizer": ["device", "pin_memory"],
  "zero_optimization.offload_param": ["device", "pin_memory"],
};

/** @returns a sentence for each name that would be ignored, or would break what the worker does */
export function foreignNames(settings: Readonly<Record<string, unknown>>): string[] {
  return foreignIn(settings, "", Object.keys(NAMES));
}

function foreignIn(section: object, prefix: string, names: readonly string[]): string[] {
  return Object.entries(section).flatMap(([name, value]: [string, unknown]) => {
    const path = prefix + name;
    if (!names.includes(name)) return [foreign(path, nearestName(name, names))];
    const inner = NAMES[path];
    return inner && typeof value === "object" && value !== null ? foreignIn(value, `${path}.`, inner) : [];
  });
}

function foreign(path: string, near: string | null): string {
  const advice = near === null ? "remove it (docs/scale.md lists what there is)" : `did you mean "${near}"?`;
  return `${path} is unknown, or would not do here what it says; ${advice}`;
}
