/**
 * The command line in a process of its own.
 *
 * @module
 */
import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";

const MAIN = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url));

/** How a command ended. */
export interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs `thurstone train` with these arguments. */
export function runTrain(args: readonly string[], watch?: Watch): Promise<Ended> {
  return runThurstone(["train", ...args], watch);
}

/** Runs a command; `watch` sees everything it has said so far whenever it says more. */
export function runThurstone(args: readonly string[], watch: Watch = () => undefined): Promise<Ended> {
  const child = spawn(process.execPath, ["--import", "tsx", MAIN, ...args], {
    env: { ...process.env, OMP_NUM_THREADS: "1" },
  });
  let stdout = "";
  let stderr = "";
  child.stdout.on("data", (chunk) => (stdout += String(chunk)));
  child.stderr.on("data", (chunk) => {
    stderr += String(chunk);
    watch(stderr, child.pid!);
  });
  return new Promise((resolve) => child.on("close", (code) => resolve({ code, stdout, stderr })));
}

/** Sees what was said so far, and the number of the process. */
export type Watch = (stderr: string, pid: number) => void;

/** Two at once. */
export function both(first: Watch, second: Watch): Watch {
  return (stderr, pid) => {
    first(stderr, pid);
    second(stderr, pid);
  };
}

/** Calls `act` once, when the text first appears. */
export function once(text: string, act: (pid: number) => void): Watch {
  let done = false;
  return (stderr, pid) => {
    if (done || !stderr.includes(text)) return;
    done = true;
    act(pid);
  };
}
