/**
 * Python workers that start at once, because they are forked from a process that has imported what they need; and that can
 * meet with faults. For runs whose start is not what they are about: importing takes longer than all the rest of them.
 *
 * @module
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { findPython } from "../../src/python/index.js";

/** Ends with the block it is used in, and its workers with it. Linux only. */
export interface WorkerNursery extends AsyncDisposable {
  /**
   * @param fault as `faulty_worker.py` takes it; null for none
   * @param workers file to which workers add their process numbers
   * @returns an interpreter whose workers come from here; everything else it runs as Python does
   */
  python(fault: object | null, workers: string): string;
}

const fileBeside = (name: string): string => fileURLToPath(new URL(name, import.meta.url));

export async function startNursery(): Promise<WorkerNursery> {
  const folder = mkdtempSync(join(tmpdir(), "thurstone-nursery-"));
  const socket = join(folder, "socket");
  const { python, pythonPath } = findPython();
  const child = spawn(python, [fileBeside("worker_nursery.py"), socket], {
    env: { ...process.env, PYTHONPATH: pythonPath, OMP_NUM_THREADS: "1" },
    stdio: ["pipe", "pipe", "inherit"],
  });
  const ended = once(child, "exit");
  const listening = await Promise.race([once(child.stdout, "data").then(() => true), ended.then(() => false)]);
  if (!listening) throw new Error("the nursery ended before it listened; it has said why on stderr.");
  let interpreters = 0;
  return {
    python(fault, workers) {
      const path = join(folder, `python-${(interpreters += 1)}`);
      const told = `THURSTONE_FAULT='${JSON.stringify(fault)}' THURSTONE_WORKERS='${workers}'`;
      const worker = `${told} exec '${python}' -I -S '${fileBeside("nursed_worker.py")}' '${socket}'`;
      writeFileSync(path, `#!/bin/sh\n[ "$2" = thurstone_runtime ] || exec '${python}' "$@"\n${worker}\n`);
      chmodSync(path, 0o755);
      return path;
    },
    async [Symbol.asyncDispose]() {
      child.stdin.end();
      await ended;
      rmSync(folder, { recursive: true });
    },
  };
}
