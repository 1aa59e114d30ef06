/**
 * Runs in processes of their own, and what such a run leaves behind.
 *
 * @module
 */
import { execFileSync, spawn } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { ConfigInput, SftConfigInput } from "../../src/config/index.js";

const CHILD = fileURLToPath(new URL("./train-child.ts", import.meta.url));

export interface ChildEnd {
  readonly code: number | null;
  readonly signal: string | null;
  readonly stderr: string;
}

/**
 * Runs a training in its own process.
 *
 * @param point where it kills itself; "" for nowhere
 * @returns how it ended
 */
export function runChild(
  config: ConfigInput | SftConfigInput,
  point = "",
  task: "train" | "sft" = "train",
): Promise<ChildEnd> {
  const child = spawn(process.execPath, ["--import", "tsx", CHILD, JSON.stringify(config), point, task]);
  let stderr = "";
  child.stderr.on("data", (chunk) => (stderr += String(chunk)));
  return new Promise((resolve) => child.on("close", (code, signal) => resolve({ code, signal, stderr })));
}

/** What stands for a worker among the children of a process: itself, or the client of a nursery, whose end is the worker's. */
const WORKER = /thurstone_runtime|nursed_worker/;

/** Process ids of the Python workers of a process. */
export function workersOf(pid: number): number[] {
  const lines = execFileSync("ps", ["-A", "-o", "pid=,ppid=,args="], { encoding: "utf8" }).split("\n");
  const processes = lines.map((line) => /^\s*(\d+)\s+(\d+)\s+(.*)$/.exec(line));
  return processes
    .filter((found) => Number(found?.[2]) === pid && WORKER.test(found![3]!))
    .map((found) => Number(found![1]));
}

export interface RunRecord {
  readonly weights: string;
  readonly optimizer: string;
  readonly metrics: string;
  readonly rollouts: readonly string[];
  readonly evaluations: readonly string[];
}

/** Everything of a finished run of four steps that must not depend on interruptions, byte for byte. */
export function recordOf(folder: string): RunRecord {
  const manifest = JSON.parse(readFileSync(join(folder, "checkpoints/step_000004/manifest.json"), "utf8")) as {
    files: { name: string; sha256: string }[];
  };
  const hash = (name: string): string => manifest.files.find((file) => file.name === name)!.sha256;
  const all = (name: string): string[] =>
    existsSync(join(folder, name))
      ? readdirSync(join(folder, name))
          .sort()
          .map((file) => readFileSync(join(folder, name, file), "utf8"))
      : [];
  return {
    weights: hash("weights.safetensors"),
    optimizer: hash("optimizer.safetensors"),
    metrics: readFileSync(join(folder, "metrics.jsonl"), "utf8"),
    rollouts: all("rollouts"),
    evaluations: all("evals"),
  };
}
