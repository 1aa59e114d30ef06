/**
 * `environment.json`: what a run said of its model, its rows and its machine when it began.
 *
 * @module
 */
import { z } from "zod";
import { RunError } from "../../errors.js";
import type { ModelDescription } from "../../policy/index.js";
import type { Run } from "../../runs/index.js";
import { machineFingerprint } from "../fingerprint.js";
import type { RunBasis } from "../prepare.js";
import type { Comparisons } from "./comparisons.js";

const environmentSchema = z.looseObject({
  fingerprint: z.record(z.string(), z.string()),
  prompt: z.looseObject({ template: z.string(), digest: z.string() }),
  versions: z.record(z.string(), z.string()),
  rows: z.looseObject({ train: z.int(), heldOut: z.int() }),
  model: z.looseObject({
    family: z.string(),
    parameters: z.unknown(),
    device: z.string(),
    dtype: z.string(),
    attention: z.string(),
    threads: z.int(),
    cpuFeatures: z.array(z.string()),
    source: z
      .looseObject({ files: z.array(z.looseObject({ name: z.string(), sha256: z.string() })).nullable() })
      .optional(),
  }),
});

/** What is used of `environment.json`. */
export type Environment = z.output<typeof environmentSchema>;

/** @throws RunError VERIFY_ENVIRONMENT */
export async function readEnvironment(run: Run): Promise<Environment> {
  const parsed = environmentSchema.safeParse(await run.environment().catch(asVerifyError));
  if (parsed.success) return parsed.data;
  const { path, message } = parsed.error.issues[0]!;
  throw new RunError(
    "VERIFY_ENVIRONMENT",
    `environment.json in ${run.folder} cannot be used: ${path.join(".")}: ${message}. It was changed by hand, or the run is one of 0.1.0: bring it back, or use that version.`,
    { cause: parsed.error, fields: { folder: run.folder } },
  );
}

function asVerifyError(error: unknown): never {
  if (!(error instanceof RunError) || error.code !== "RUN_FILE_DAMAGED") throw error;
  throw new RunError("VERIFY_ENVIRONMENT", error.message, { cause: error, fields: error.fields });
}

/**
 * Compares what is said of model and rows with those that are there now, and what is said of the machine with the run's
 * fingerprint, which decides how numbers are compared.
 *
 * @param exact the machine is like the run's own
 */
export function checkEnvironment(
  { model, rows, versions, prompt, fingerprint }: Environment,
  { prepared, description, exact }: { prepared: RunBasis; description: ModelDescription; exact: boolean },
  comparisons: Comparisons,
): void {
  const compare = (field: string, recorded: unknown, found: unknown): void =>
    comparisons.compare({ about: "record", step: null, what: `${field} in environment.json`, recorded, found });
  compare("rows.train", rows.train, prepared.rowCount);
  compare("rows.heldOut", rows.heldOut, prepared.heldOut.length);
  compare("prompt.template", prompt.template, prepared.config.question_template);
  compare("model.family", model.family, description.family);
  compare("model.parameters", model.parameters, description.parameters);
  if (exact) {
    compare("model.dtype", model.dtype, description.dtype);
    compare("model.attention", model.attention, description.attention);
  } else comparisons.leaveOut("model.dtype and model.attention in environment.json: another machine has its own.");

  const { "machine.ranks": _, ...said } = machineFingerprint({ ...model, versions, ranks: description.ranks });
  const { "machine.ranks": __, ...then } = fingerprint;
  for (const name of Object.keys({ ...said, ...then }).filter((one) => /^(machine|version)\./.test(one))) {
    compare(`${name}, beside the fingerprint`, said[name] ?? null, then[name] ?? null);
  }
}
