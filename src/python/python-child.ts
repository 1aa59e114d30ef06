/**
 * A Python in a process of its own that can be thrown away: functions are called one after the other, each with a deadline
 * of its own, and whatever goes wrong ends that process and nothing else.
 *
 * For small arguments in and JSON out. Tensors and the worker's verbs go over the bridge.
 *
 * @module
 */

import { fork, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { setTimeout } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { findPython, type PythonLocation } from "./find-python.js";
import { decode, encode } from "./json-floats.js";

/** What the child process is asked. */
export interface PythonCall {
  /** An importable module, for example "thurstone_runtime.environment". */
  readonly module: string;
  /** A function of positional arguments that returns what JSON can hold, or a NaN or infinity among it. */
  readonly name: string;
  readonly args: readonly unknown[];
}

/** The same on its way, with arguments that survive it. */
export type EncodedCall = Omit<PythonCall, "args"> & { readonly args: string };

/** What it answers: the shim's JSON, or that Python ended, with its exit status or signal. */
export type ChildAnswer = { readonly json: string } | { readonly ended: string };

/** How a call went. */
export type PythonOutcome =
  | { readonly kind: "value"; readonly value: unknown }
  /** An exception: in words, where in which file it was raised, and the traceback. */
  | { readonly kind: "raised"; readonly error: string; readonly where: string | null; readonly traceback: string }
  /** The process is gone, with an exit status or signal where Python is what ended; `output` is the end of what it printed. */
  | { readonly kind: "ended"; readonly status: string | null; readonly output: string }
  /** It did not answer in time, and was killed. */
  | { readonly kind: "late"; readonly output: string };

export interface PythonCallOptions {
  /** Milliseconds for the call, starting Python included where it does not run yet. */
  readonly timeout: number;
  /** Kills Python; the call rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
}

/** A Python that calls functions. */
export interface PythonChild {
  /** False once it has ended, for whatever reason: take another. */
  readonly alive: boolean;
  /** Runs one function. Calls must not overlap. Rejects only when the signal says so. */
  call(call: PythonCall, options: PythonCallOptions): Promise<PythonOutcome>;
  /** Kills Python and everything it started, and waits until they are gone. */
  close(): Promise<void>;
}

/** Characters of printed text that are kept for error messages. */
const KEPT_OUTPUT = 4_000;
/** Milliseconds that the last printed words may take; a process that left the group can hold the pipe for ever. */
const LAST_WORDS = 1_000;

/** Starts the process; Python itself starts with the first call. An idle child does not keep this process from ending. */
export function startPythonChild(location: PythonLocation = findPython()): PythonChild {
  const child = forkChild(location);
  let output = "";
  let alive = true;
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding("utf8").on("data", (text: string) => (output = (output + text).slice(-KEPT_OUTPUT)));
  }
  const gone = new Promise<void>((resolve) => {
    child.once("exit", () => resolve()).once("error", () => resolve());
  }).then(() => {
    alive = false;
  });
  const silent = new Promise<void>((resolve) => child.once("close", () => resolve()));
  holdProcess(child, false);

  const close = async (): Promise<void> => {
    alive = false;
    holdProcess(child, true);
    killGroup(child);
    await gone;
    await Promise.race([silent, setTimeout(LAST_WORDS)]);
    for (const stream of [child.stdin, child.stdout, child.stderr]) stream?.destroy();
  };
  return {
    get alive() {
      return alive;
    },
    close,
    async call(call, { timeout, signal }) {
      signal?.throwIfAborted();
      output = "";
      holdProcess(child, true);
      try {
        const answer = await answerOf(child, gone, call, timeout, signal);
        if (answer !== "late" && answer !== "aborted" && "json" in answer) return outcomeOf(answer.json);
        await close();
        signal?.throwIfAborted();
        const printed = output.trim();
        if (typeof answer === "string") return { kind: "late", output: printed };
        return { kind: "ended", status: answer.ended, output: printed };
      } finally {
        holdProcess(child, false);
      }
    },
  };
}

/** Its own process group, so that all that Python starts can be killed with it. */
function forkChild({ python, pythonPath }: PythonLocation): ChildProcess {
  const fromSource = import.meta.url.endsWith(".ts");
  const script = fileURLToPath(new URL(fromSource ? "call-child.ts" : "call-child.js", import.meta.url));
  return fork(script, [], {
    detached: true,
    silent: true,
    execArgv: fromSource ? ["--import", import.meta.resolve("tsx")] : [],
    env: {
      ...process.env,
      PYTHON_BIN: python,
      PYTHONPATH: pythonPath,
      PYTHONDONTWRITEBYTECODE: "1",
      PYTHONUNBUFFERED: "1",
      REQ_TIMEOUT: "0",
    },
  });
}

type Answer = ChildAnswer | { readonly ended: null } | "late" | "aborted";

async function answerOf(
  child: ChildProcess,
  gone: Promise<void>,
  call: PythonCall,
  timeout: number,
  signal: AbortSignal | undefined,
): Promise<Answer> {
  const settled = new AbortController();
  const deadline = AbortSignal.timeout(timeout);
  const ends = AbortSignal.any([settled.signal, deadline, ...(signal === undefined ? [] : [signal])]);
  try {
    const answered = once(child, "message", { signal: ends }).then(([answer]) => answer as ChildAnswer);
    const encoded: EncodedCall = { ...call, args: encode(call.args) };
    // That it could not be sent is seen by the end of the process.
    child.send(encoded, () => undefined);
    return await Promise.race([answered, gone.then(() => ({ ended: null }))]);
  } catch (error) {
    if (signal?.aborted === true) return "aborted";
    if (deadline.aborted) return "late";
    throw error;
  } finally {
    settled.abort();
  }
}

function outcomeOf(json: string): PythonOutcome {
  const answer = decode(json) as { value: unknown } | { error: string; where: string | null; traceback: string };
  return "value" in answer ? { kind: "value", value: answer.value } : { kind: "raised", ...answer };
}

/** Whether the child keeps this process running. */
function holdProcess(child: ChildProcess, hold: boolean): void {
  const parts = [child, child.channel, child.stdin, child.stdout, child.stderr] as readonly unknown[];
  for (const part of parts as readonly (Partial<Pick<ChildProcess, "ref" | "unref">> | null | undefined)[]) {
    if (hold) part?.ref?.();
    else part?.unref?.();
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
