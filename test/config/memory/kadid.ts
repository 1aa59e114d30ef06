/**
 * The run of `bench/support/memory-table.ts` as a configuration, on devices of CUDA.
 *
 * @module
 */
import { forecastRun, readModelFiles, resolveConfig, trainWorkload } from "../../../src/config/index.js";
import type { ConfigInput, RunForecast, Workload } from "../../../src/config/index.js";
import { GIB } from "../../../bench/support/memory-table.js";
import type { Size } from "../../../bench/support/memory-table.js";

/** As the model sees a picture of 512 x 384. */
const PIXELS = 504 * 392;

export interface KadidOptions {
  readonly input?: Partial<ConfigInput>;
  /** GiB of a device. */
  readonly card: number;
  /** Default 1. */
  readonly devices?: number;
  readonly device?: "cpu" | "cuda";
  /** What a batch comes to, where it is not that of the pictures. */
  readonly work?: Partial<Workload>;
  /** Remedies at most. */
  readonly most?: number;
}

function kadidInput(size: Size, input: Partial<ConfigInput> = {}): ConfigInput {
  return {
    model_name_or_path: `Qwen/Qwen2.5-VL-${size}-Instruct`,
    device: "cuda",
    bf16: true,
    gradient_checkpointing: true,
    num_generations: 6,
    max_completion_length: 256,
    prompts_per_step: 8 * (input.num_processes ?? 1),
    beta: 0.04,
    temperature: 1,
    ...input,
  };
}

export async function kadidForecast(size: Size, { input, work, most, ...given }: KadidOptions): Promise<RunForecast> {
  const config = resolveConfig(kadidInput(size, input));
  const { card, devices = 1, device = "cuda" } = given;
  return forecastRun(
    {
      config,
      model: (await readModelFiles(config.model_name_or_path))!,
      memory: { device, bytes: card * GIB, devices },
      deepspeed: null,
      work: (changed) => {
        const patches = 4 * Math.floor(Math.min(PIXELS, changed.max_pixels ?? PIXELS) / 28 ** 2);
        const pictures = { imageTokens: patches / 4, patches, pixels: 196 * patches, pixelsOfOne: 196 * patches };
        const sizes = { textTokens: 168, answerTokens: 0, ...pictures };
        return { ...trainWorkload(changed, sizes, { trained: 6125, rated: 0 }), ...work };
      },
      pixels: PIXELS,
      resolve: (changed) => resolveConfig(changed),
    },
    most,
  );
}
