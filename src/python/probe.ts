/**
 * What a Python has: its version, the packages against requirements.txt, torch's devices.
 *
 * @module
 */

import { join } from "node:path";
import { z } from "zod";
import { callPython } from "./call-python.js";
import { findPython, PACKAGE_ROOT, type PythonLocation } from "./find-python.js";

const reportSchema = z.object({
  python: z.object({ version: z.string(), executable: z.string() }),
  packages: z.array(
    z.object({ name: z.string(), wanted: z.string(), installed: z.string().nullable(), ok: z.boolean() }),
  ),
  torch: z
    .object({
      version: z.string(),
      cuda: z.array(z.string()),
      cuda_memory: z.array(z.int()),
      cuda_build: z.string().nullable(),
      mps: z.boolean(),
      threads: z.int(),
    })
    .nullable(),
  torch_error: z.string().nullable(),
});

/** `torch` is null when it was not asked for, or could not be imported: then `torch_error` says why. */
export type PythonReport = z.infer<typeof reportSchema>;

export interface ProbePythonOptions {
  /** Default: findPython(). */
  readonly location?: PythonLocation;
  /** Import torch and ask it for devices; takes seconds. Default true. */
  readonly torch?: boolean;
  /** Milliseconds. Default 60 000. */
  readonly timeout?: number;
}

/** Asks a Python in a disposable process. Throws the EnvironmentErrors of callPython and findPython. */
export async function probePython(options: ProbePythonOptions = {}): Promise<PythonReport> {
  const { location = findPython(), torch = true, timeout = 60_000 } = options;
  const report = await callPython({
    module: "thurstone_runtime.environment",
    function: "report",
    args: [join(PACKAGE_ROOT, "requirements.txt"), torch],
    location,
    timeout,
  });
  return reportSchema.parse(report);
}
