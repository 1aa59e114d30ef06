/** Workers without a model for tests of the bridge, and what tests need to know of processes. */
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join, resolve } from "node:path";
import { startWorker } from "../../src/bridge/index.js";
import type { StartWorkerOptions, WorkerProcess } from "../../src/bridge/index.js";

const ROOT = resolve(import.meta.dirname, "../..");
export const PYTHON = join(ROOT, ".venv/bin/python");
export const RUNTIME = join(ROOT, "python_runtime");

export function startSelftest(options: Partial<StartWorkerOptions> = {}): Promise<WorkerProcess> {
  return startWorker({
    python: PYTHON,
    args: ["-m", "thurstone_runtime", "--engine", "selftest"],
    ...options,
    env: { PYTHONPATH: RUNTIME, ...options.env },
  });
}

/** Arguments of Python that run these lines and then the selftest worker. */
export function selftestAfter(lines: string): string[] {
  const run =
    "import sys; sys.argv[1:] = ['--engine', 'selftest']\nfrom thurstone_runtime import __main__\n__main__.main()";
  return ["-c", `${lines}\n${run}`];
}

/** Whether a process runs or is stopped; one that has ended and was not yet collected does not. */
export function isAlive(pid: number): boolean {
  const state = existsSync("/proc/self/stat") ? stateInProc(pid) : stateByPs(pid);
  return state !== "" && !"ZX".includes(state);
}

function stateInProc(pid: number): string {
  try {
    // The name before the state is in brackets and may itself hold any character.
    return readFileSync(`/proc/${pid}/stat`, "utf8")
      .replace(/^.*\) /s, "")
      .slice(0, 1);
  } catch {
    return "";
  }
}

function stateByPs(pid: number): string {
  return spawnSync("ps", ["-o", "stat=", "-p", String(pid)], { encoding: "utf8" })
    .stdout.trim()
    .slice(0, 1);
}

/** Polls until the condition holds, or the time is over; returns whether it held. */
export async function eventually(condition: () => boolean, milliseconds: number): Promise<boolean> {
  const until = performance.now() + milliseconds;
  while (!condition()) {
    if (performance.now() > until) return false;
    await new Promise((done) => setTimeout(done, 10));
  }
  return true;
}

export interface TemporaryFolder {
  /** What stands in it: the folders of workers that run. */
  workerFolders(): string[];
  makeFolder(name: string): string;
  clear(): void;
  remove(): void;
}

/** A folder for temporary files that only this test process uses, so that it can see what is left in it. */
export function ownTemporaryFolder(): TemporaryFolder {
  const before = process.env["TMPDIR"];
  const path = mkdtempSync("/tmp/bridge-");
  process.env["TMPDIR"] = path;
  const workerFolders = (): string[] => readdirSync(path).map((name) => join(path, name));
  return {
    workerFolders,
    makeFolder(name) {
      mkdirSync(join(path, name));
      return join(path, name);
    },
    clear() {
      for (const folder of workerFolders()) rmSync(folder, { recursive: true });
    },
    remove() {
      if (before === undefined) delete process.env["TMPDIR"];
      else process.env["TMPDIR"] = before;
      rmSync(path, { recursive: true, force: true });
    },
  };
}
