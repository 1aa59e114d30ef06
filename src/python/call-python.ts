/**
 * Calls one function of the Python side through pythonia, in a process of its own with a deadline.
 *
 * For look-ups that take no part in training, such as `doctor`'s: small arguments in, JSON out. Tensors and everything in
 * the training loop go over the bridge.
 *
 * @module
 */

import { fork, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { EnvironmentError } from "../errors.js";
import { findPython, type PythonLocation } from "./find-python.js";

/** What the child process is asked. */
export interface PythonCall {
  readonly module: string;
  readonly name: string;
  readonly args: readonly (string | number | boolean)[];
}

/** What it answers: the function's value, or what went wrong. */
export type PythonAnswer = { readonly value: unknown } | { readonly error: string; readonly traceback?: string };

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
  const call: PythonCall = { module: options.module, name: options.function, args };
  const child = startChild(location);
  const log: string[] = [];
  const closed = new Promise((resolve) => child.once("close", resolve));
  const printed = async (): Promise<string> => {
    killGroup(child);
    await closed;
    return log.join("").trim();
  };
  child.stdout?.on("data", (chunk: Buffer) => log.push(chunk.toString("utf8")));
  child.stderr?.on("data", (chunk: Buffer) => log.push(chunk.toString("utf8")));
  try {
    child.send(call);
    const answer = await answerOf(child, AbortSignal.timeout(timeout));
    if (answer === "late") throw failure("TIMEOUT", `did not answer within ${timeout} ms`, options, location);
    if (answer === "dead") throw failure("FAILED", `ended without an answer. ${await printed()}`, options, location);
    if ("value" in answer) return answer.value;
    throw failure("FAILED", `failed: ${answer.error}. ${answer.traceback ?? (await printed())}`, options, location);
  } finally {
    killGroup(child);
  }
}

/** Its own process group, so that Python can be killed with it. */
function startChild({ python, pythonPath }: PythonLocation): ChildProcess {
  const fromSource = import.meta.url.endsWith(".ts");
  const script = fileURLToPath(new URL(fromSource ? "call-child.ts" : "call-child.js", import.meta.url));
  return fork(script, [], {
    detached: true,
    silent: true,
    execArgv: fromSource ? ["--import", import.meta.resolve("tsx")] : [],
    env: { ...process.env, PYTHON_BIN: python, PYTHONPATH: pythonPath, PYTHONDONTWRITEBYTECODE: "1", REQ_TIMEOUT: "0" },
  });
}

async function answerOf(child: ChildProcess, deadline: AbortSignal): Promise<PythonAnswer | "late" | "dead"> {
  const settled = new AbortController();
  const signal = AbortSignal.any([settled.signal, deadline]);
  try {
    const message = once(child, "message", { signal }).then(([answer]) => answer as PythonAnswer);
    const exit = once(child, "exit", { signal }).then(() => "dead" as const);
    return await Promise.race([message, exit]);
  } catch (error) {
    if (deadline.aborted) return "late";
    throw error;
  } finally {
    settled.abort();
  }
}

function killGroup(child: ChildProcess): void {
  if (child.pid === undefined) return;
  try {
    process.kill(-child.pid, "SIGKILL");
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "ESRCH")) throw error;
  }
}

function failure(
  kind: "FAILED" | "TIMEOUT",
  what: string,
  options: CallPythonOptions,
  location: PythonLocation,
): EnvironmentError {
  return new EnvironmentError(
    `ENVIRONMENT_PYTHON_${kind}`,
    `${options.module}.${options.function} in ${location.python} ${what}`,
    { fields: { python: location.python } },
  );
}
