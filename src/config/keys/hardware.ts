/**
 * Configuration keys of the section "Hardware": the device and the worker process.
 *
 * @module
 */
import { z } from "zod";

export const hardwareKeys = {
  device: z
    .string()
    .regex(/^(auto|cpu|mps|cuda(:\d+)?)$/, { error: 'must be "auto", "cpu", "cuda", "cuda:<number>" or "mps"' })
    .default("auto")
    .describe(
      "Where the model runs: auto, cpu, cuda, cuda:<number> or mps. auto: the first accelerator found, else cpu.",
    ),
  num_processes: z
    .int()
    .min(1)
    .default(1)
    .describe("Worker processes, one per device: ranks that train one model, or share an evaluation."),
  strategy: z
    .enum(["single", "ddp", "fsdp2", "deepspeed"])
    .nullable()
    .default(null)
    .describe(
      "How a model in training is spread over the processes: single (one process), ddp (each has everything, gradients " +
        "are added up), fsdp2 (weights, gradients and optimizer state in pieces), deepspeed (as the file of `deepspeed` " +
        "says). With one process all but deepspeed are the same. null: deepspeed where its file is given, single, or ddp " +
        "with several processes.",
    ),
  deepspeed: z
    .string()
    .min(1)
    .nullable()
    .default(null)
    .describe(
      "File with DeepSpeed's own settings (JSON): configs/zero2.json, configs/zero3.json, configs/zero3_offload.json, or one " +
        'of your own, with ZeRO stage 2 or 3. "auto" in it is filled in from this configuration. `npx thurstone setup` ' +
        "does not install DeepSpeed: `pip install deepspeed==0.19.8`.",
    ),
  ds3_gather_for_generation: z
    .boolean()
    .nullable()
    .default(null)
    .describe(
      "How ranks sample that hold the weights in pieces (fsdp2, and DeepSpeed's ZeRO stage 3): true, all weights are put " +
        "together at each rank for the length of a call, in the type of the computation; false, a layer at a time, all " +
        "ranks in step, which takes less memory and far longer. The tokens are the same. null: put together where the " +
        "memory plan says that it fits, and always on a CPU.",
    ),
  rank_timeout: z
    .number()
    .positive()
    .default(60)
    .describe("Seconds that a process waits in a collective operation for the slowest of the others."),
  device_memory_gb: z
    .number()
    .positive()
    .nullable()
    .default(null)
    .describe(
      "Memory of a device in GiB, which a run must fit into by the plan that is made before it starts (docs/memory.md); one that " +
        "does not is refused. null: what the device says of itself, on a CPU what the machine has available. A large " +
        "number takes the check away.",
    ),
  worker_address: z
    .string()
    .regex(/^tcp:\/\/([^\s:/[\]]+|\[[0-9a-fA-F:.]+\]):(?!0)\d{1,5}$/, {
      error: 'must be "tcp://HOST:PORT", HOST an address of this machine',
    })
    .refine((address) => Number(address.slice(address.lastIndexOf(":") + 1)) < 65_535, {
      error: "must have a port below 65535, because the next one is used as well",
    })
    .nullable()
    .default(null)
    .describe(
      "Where workers of other machines dial in: tcp://HOST:PORT, HOST an address of this machine; the next port is used as " +
        "well. They are started there (`thurstone worker`, torchrun, Slurm), `num_processes` in all. null: this machine's " +
        "own processes.",
    ),
  worker_key_file: z
    .string()
    .min(1)
    .nullable()
    .default(null)
    .describe("The file control.json of `thurstone keys`: whose keys may dial in at `worker_address`."),
  worker_wait: z
    .number()
    .positive()
    .default(600)
    .describe("Seconds in which all workers must have dialled in at `worker_address`."),
  python_bin: z
    .string()
    .min(1)
    .nullable()
    .default(null)
    .describe("Python interpreter of the worker. null: the one that `thurstone setup` prepared."),
  worker_threads: z.int().min(0).default(0).describe("CPU threads of the worker. 0: PyTorch's default."),
  worker_timeout: z
    .number()
    .positive()
    .default(600)
    .describe("Seconds that the worker may go without any progress before the run is ended."),
  heartbeat_timeout: z
    .number()
    .positive()
    .default(60)
    .describe(
      "Seconds without a sign of life from a worker (it sends one twice a second) after which it counts as frozen and the run is ended.",
    ),
  image_cache_bytes: z
    .int()
    .min(0)
    .default(1_073_741_824)
    .describe(
      "Bytes of resized pictures the worker keeps at most (1 GiB); with `freeze_vision_modules` as many again of what " +
        "its vision tower makes of them, so that no picture is encoded twice.",
    ),
};
