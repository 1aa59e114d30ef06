/**
 * Calls one function of the Python side, in a process that is thrown away afterwards.
 *
 * For look-ups that take no part in training, such as `doctor`'s.
 *
 * @module
 */

import { EnvironmentError } from "../errors.js";
import { findPython, type PythonLocation } from "./find-python.js";
import { startPythonChild, type PythonCall, type PythonOutcome } from "./python-child.js";

export interface CallPythonOptions {
  /** An importable module, for example "thurstone_runtime.environment". */
  readonly module: string;
  /** A function of positional arguments that returns what JSON can hold. */
  readonly function: string;
  readonly args?: PythonCall["args"];
  /** Default: findPython(). */
  readonly location?: PythonLocation;
  /** Milliseconds for everything: starting, importing, answering. Default 60 000. */
  readonly timeout?: number;
}

/**
 * The value the function returned.
 *
 * @throws EnvironmentError ENVIRONMENT_PYTHON_FAILED (it raised, or Python could not start), ENVIRONMENT_PYTHON_TIMEOUT
 */
export async function callPython(options: CallPythonOptions): Promise<unknown> {
  const { timeout = 60_000, location = findPython(), args = [] } = options;
  const child = startPythonChild(location);
  try {
    const outcome = await child.call({ module: options.module, name: options.function, args }, { timeout });
    if (outcome.kind === "value") return outcome.value;
    throw new EnvironmentError(
      outcome.kind === "late" ? "ENVIRONMENT_PYTHON_TIMEOUT" : "ENVIRONMENT_PYTHON_FAILED",
      `${options.module}.${options.function} in ${location.python} ${inWords(outcome, timeout)}`,
      { fields: { python: location.python } },
    );
  } finally {
    await child.close();
  }
}

function inWords(outcome: Exclude<PythonOutcome, { kind: "value" }>, timeout: number): string {
  if (outcome.kind === "late") return `did not answer within ${timeout} ms`;
  if (outcome.kind === "raised") return `failed: ${outcome.error}. ${outcome.traceback}`;
  if (outcome.status === null) return `ended without an answer. ${outcome.output}`;
  return `failed: Python ended with ${outcome.status} during the call. ${outcome.output}`;
}
