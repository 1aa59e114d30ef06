/**
 * How a model is trained, as several keys decide it together.
 *
 * @module
 */
import type { ParsedConfig } from "./schema.js";

/** How the model in training is spread. One process has nothing to spread, but DeepSpeed may still move things to the CPU. */
export function trainingStrategy({
  strategy,
  deepspeed,
  num_processes: ranks,
}: Pick<ParsedConfig, "strategy" | "deepspeed" | "num_processes">): "single" | "ddp" | "fsdp2" | "deepspeed" {
  if (deepspeed !== null) return "deepspeed";
  return ranks === 1 ? "single" : (strategy ?? "ddp");
}

/** Precision of the computation that the model section asks for; "auto" leaves it to the worker. */
export function computeDtype(config: Pick<ParsedConfig, "torch_dtype" | "bf16">): "auto" | "float32" | "bfloat16" {
  if (config.bf16) return "bfloat16";
  return config.torch_dtype;
}
