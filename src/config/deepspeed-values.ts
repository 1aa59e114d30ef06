/**
 * What the values of DeepSpeed's settings must be, so that a wrong one is named before a worker meets it.
 *
 * After the code of the version that the worker is written for: `config.py`, `zero/config.py`, `comm/config.py`.
 *
 * @module
 */
import { z } from "zod";
import { at, AUTO, settingsSchema } from "./deepspeed-paths.js";
import type { DeepSpeedSettings } from "./deepspeed-paths.js";

interface Form {
  readonly schema: z.ZodType;
  /** Behind "it must be". */
  readonly words: string;
}

const oneOf = (...names: readonly string[]): Form => ({
  schema: z.enum(names),
  words: `one of ${names.map((name) => JSON.stringify(name)).join(", ")}`,
});
const SECTION: Form = { schema: settingsSchema, words: "a map of settings" };
/** null moves nothing. */
const OFFLOAD: Form = { ...SECTION, schema: settingsSchema.nullable() };
const FLAG: Form = { schema: z.boolean(), words: "true or false" };
const COUNT: Form = { schema: z.number().min(0), words: "a number, 0 or more" };
const SIZE: Form = { schema: z.number().positive(), words: "a number above 0" };
const EVEN: Form = { schema: z.number().min(0).multipleOf(2), words: "an even number" };
const NAMES: Form = { schema: z.array(z.string()), words: "a list of names" };
const DEVICE = oneOf("none", "cpu", "nvme");

/** Those that nothing else is said of. */
const FORMS: Readonly<Record<string, Form>> = {
  optimizer: SECTION,
  "optimizer.params": SECTION,
  fp16: SECTION,
  "fp16.enabled": FLAG,
  bf16: SECTION,
  "bf16.enabled": FLAG,
  amp: SECTION,
  torch_autocast: SECTION,
  steps_per_print: SIZE,
  wall_clock_breakdown: FLAG,
  memory_breakdown: FLAG,
  dump_state: FLAG,
  log_level: oneOf("debug", "info", "warning", "error", "critical"),
  comms_logger: SECTION,
  "comms_logger.enabled": FLAG,
  "comms_logger.verbose": FLAG,
  "comms_logger.prof_all": FLAG,
  "comms_logger.debug": FLAG,
  "comms_logger.prof_ops": NAMES,
  communication_data_type: oneOf("fp32", "fp16", "bf16"),
  zero_allow_untested_optimizer: FLAG,
  zero_force_ds_cpu_optimizer: FLAG,
  zero_optimization: SECTION,
  "zero_optimization.contiguous_gradients": FLAG,
  "zero_optimization.reduce_scatter": FLAG,
  "zero_optimization.reduce_bucket_size": SIZE,
  "zero_optimization.allgather_partitions": FLAG,
  "zero_optimization.allgather_bucket_size": EVEN,
  "zero_optimization.overlap_comm": FLAG,
  "zero_optimization.offload_optimizer": OFFLOAD,
  "zero_optimization.offload_optimizer.device": DEVICE,
  "zero_optimization.offload_optimizer.pin_memory": FLAG,
  "zero_optimization.offload_param": OFFLOAD,
  "zero_optimization.offload_param.device": DEVICE,
  "zero_optimization.offload_param.pin_memory": FLAG,
  "zero_optimization.sub_group_size": COUNT,
  "zero_optimization.stage3_prefetch_bucket_size": COUNT,
  "zero_optimization.stage3_param_persistence_threshold": COUNT,
  "zero_optimization.stage3_model_persistence_threshold": COUNT,
  "zero_optimization.stage3_max_live_parameters": COUNT,
  "zero_optimization.stage3_max_reuse_distance": COUNT,
  "zero_optimization.stage3_gather_16bit_weights_on_model_save": FLAG,
};

/** @returns a sentence for each value that DeepSpeed would end at, or take for something else */
export function wrongValues(settings: DeepSpeedSettings): string[] {
  return Object.entries(FORMS).flatMap(([path, { schema, words }]) => {
    const value = at(settings, path);
    // "auto" is filled in, or refused where nothing does.
    if (value === undefined || value === AUTO || schema.safeParse(value).success) return [];
    return [`${path} is ${JSON.stringify(value)}; it must be ${words}`];
  });
}
