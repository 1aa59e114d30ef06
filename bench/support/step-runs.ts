/**
 * The processes behind `bench/step.ts`: what both sides work on, the count of operations, and one round of each side.
 *
 * @module
 */
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { z } from "zod";
import { findPython } from "../../src/python/index.js";
import { COMMON } from "./step-shapes.js";
import type { StepJob, StepMeasurement, StepShape } from "./step-shapes.js";

const MEASUREMENT = z.object({
  cpu: z.number(),
  wall: z.number(),
  generation: z.number(),
  loss: z.number(),
  rest: z.number(),
  peak: z.number(),
  control: z.number(),
  completion_tokens: z.number(),
});
const TRL = MEASUREMENT.extend({ prompt_tokens: z.number() });
const FLOPS = z.object({ over_minimum: z.number(), prompt_tokens: z.number() });

/** One round. */
export interface Pair {
  readonly ours: StepMeasurement;
  readonly trl: StepMeasurement;
}

/** A shape made ready. */
export interface Material {
  readonly job: StepJob;
  /** Our counted operations over the least there must be. */
  readonly overMinimum: number;
  readonly promptTokens: number;
}

/** Makes checkpoint and pictures of a shape, counts its operations, and clears away after `use`. */
export function withMaterial<T>(
  shape: StepShape,
  { compact }: Pick<StepJob, "compact">,
  use: (material: Material) => T,
): T {
  const folder = mkdtempSync(join(tmpdir(), "thurstone-step-"));
  try {
    // The measured step, those before it, and the one that is prepared meanwhile.
    const pictures = shape.prompts * (COMMON.measured_step + 1);
    const { vocabulary, width, height, prompts, tokens } = shape;
    const asked = { vocabulary, width, height, pictures };
    runtimePython("step_material.py", [
      folder,
      ...Object.entries(asked).flatMap(([name, value]) => [`--${name}`, String(value)]),
    ]);
    const job: StepJob = {
      ...COMMON,
      model: join(folder, "model"),
      pictures: Array.from({ length: pictures }, (_, number) => join(folder, "pictures", `${number}.png`)),
      prompts,
      tokens,
      frozen_tower: shape.frozenTower,
      lora_rank: shape.loraRank,
      compact,
    };
    const counted = lastLine(FLOPS, runtimePython("step_flops.py", [JSON.stringify(job)]));
    return use({ job, overMinimum: counted.over_minimum, promptTokens: counted.prompt_tokens });
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/**
 * Ours, then TRL's, each in a new process.
 *
 * @param trlPython interpreter of TRL's environment
 * @throws Error when the two do not see the same number of tokens
 */
export function runPair(job: StepJob, trlPython: string, promptTokens: number): Pair {
  const argument = JSON.stringify(job);
  const script = ["--import", import.meta.resolve("tsx"), helper("step-ours.ts"), argument];
  const ours = { ...lastLine(MEASUREMENT, run(process.execPath, script)), prompt_tokens: promptTokens };
  const trl = lastLine(TRL, run(trlPython, [helper("trl_start.py"), argument]));
  const expected = job.prompts * job.generations * job.tokens;
  for (const [name, { prompt_tokens, completion_tokens }] of Object.entries({ ours, trl })) {
    if (prompt_tokens === promptTokens && completion_tokens === expected) continue;
    throw new Error(
      `${name} had prompts of ${prompt_tokens} tokens and ${completion_tokens} completion tokens, instead of ${promptTokens} and ${expected}: the two sides cannot be compared.`,
    );
  }
  return { ours, trl };
}

function runtimePython(script: string, args: readonly string[]): string {
  const { python, pythonPath } = findPython();
  return run(python, [helper(script), ...args], { PYTHONPATH: pythonPath });
}

/** What it writes; its complaints only where it fails. */
function run(command: string, args: readonly string[], env: Readonly<Record<string, string>> = {}): string {
  return execFileSync(command, args, {
    env: { ...process.env, ...env },
    encoding: "utf8",
    stdio: ["ignore", "pipe", "pipe"],
  });
}

function helper(name: string): string {
  return fileURLToPath(new URL(name, import.meta.url));
}

function lastLine<Schema extends z.ZodType>(schema: Schema, text: string): z.output<Schema> {
  return schema.parse(JSON.parse(text.trimEnd().split("\n").at(-1)!));
}
