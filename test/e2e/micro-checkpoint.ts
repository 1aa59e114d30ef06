/**
 * The small random checkpoint that most end-to-end tests start from: made by the first file that asks, because Python takes
 * seconds to start, and read by all.
 *
 * @module
 */
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, renameSync, rmdirSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { inject } from "vitest";
import { findPython } from "../../src/python/index.js";

/** @returns its folder, not to be written to */
export async function microCheckpoint(): Promise<string> {
  const model = join(inject("sharedFolder"), "micro");
  const lock = `${model}.lock`;
  while (!existsSync(model)) {
    if (take(lock)) {
      try {
        if (!existsSync(model)) make(model);
      } finally {
        // Whoever waits tries again after a failure, and sees it too.
        rmdirSync(lock);
      }
    } else await sleep(50);
  }
  return model;
}

function take(lock: string): boolean {
  try {
    mkdirSync(lock);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    return false;
  }
}

/** With the project's own tool; there in one piece or not at all. */
function make(model: string): void {
  const { python, pythonPath } = findPython();
  const partial = `${model}.partial`;
  execFileSync(python, ["-m", "thurstone_runtime.make_checkpoint", partial, "--preset", "micro"], {
    env: { ...process.env, PYTHONPATH: pythonPath, OMP_NUM_THREADS: "1" },
    stdio: "ignore",
  });
  renameSync(partial, model);
}
