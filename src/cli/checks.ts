/**
 * The single checks of `thurstone doctor`. Each returns what it found; a failure is a result, never an exception.
 *
 * @module
 */

import { execFile } from "node:child_process";
import { mkdtemp, rm, statfs } from "node:fs/promises";
import { existsSync } from "node:fs";
import { release } from "node:os";
import { dirname, join, resolve } from "node:path";
import { isDeepStrictEqual, promisify } from "node:util";
import { ThurstoneError } from "../errors.js";
import { findPython, probePython, type PythonLocation, type PythonReport } from "../python/index.js";
import type { CommandIo } from "./io.js";
import { formatNumber } from "./table.js";

/** One line of the report. */
export interface Check {
  readonly name: string;
  readonly ok: boolean;
  /** What was found. */
  readonly detail: string;
  /** What to do; only on failures. */
  readonly fix?: string;
}

/** For failures whose cause only the message can tell. */
const REPORT = "see the message; with packages and write access in order, report it with the output of doctor --json";

/** Least free space for runs, in GiB: some checkpoints of a small model. */
const LEAST_FREE_GIB = 1;

/** @param version like process.version */
export function checkNode(version: string): Check {
  const [major = 0, minor = 0] = version.replace("v", "").split(".").map(Number);
  const ok = major > 20 || (major === 20 && minor >= 19);
  return ok
    ? { name: "Node", ok, detail: version }
    : {
        name: "Node",
        ok,
        detail: `${version}, 20.19 or later is needed`,
        fix: "install a current Node from https://nodejs.org",
      };
}

/** What runs where. */
export const SUPPORT: readonly string[] = [
  "Linux (x64, arm64): supported, on CPU and CUDA.",
  "macOS: meant to work on CPU and MPS, not part of the automatic tests; workers notice a lost parent by their closed stdin only.",
  "Windows: not supported natively, because workers are reached over Unix sockets; inside WSL 2 it is Linux.",
];

/** @param platform like process.platform */
export function checkPlatform(platform: string): Check {
  const wsl = platform === "linux" && /microsoft/i.test(release());
  const names: Readonly<Record<string, string>> = { linux: wsl ? "Linux in WSL 2" : "Linux", darwin: "macOS" };
  const name = names[platform];
  if (name !== undefined) return { name: "platform", ok: true, detail: `${name}, ${process.arch}` };
  return { name: "platform", ok: false, detail: `${platform} is not supported`, fix: "on Windows, work inside WSL 2" };
}

/** Loads a package with a native part. */
export async function checkNativePackage(name: "zeromq" | "sharp"): Promise<Check> {
  try {
    await import(name);
    return { name: `npm ${name}`, ok: true, detail: "loads" };
  } catch (error) {
    const fix = "install again without --no-optional, for this platform: rm -rf node_modules && npm install";
    return { name: `npm ${name}`, ok: false, detail: reasonOf(error), fix };
  }
}

/** Where Python is; the location is missing when there is none. */
export function checkPythonFound(io: Pick<CommandIo, "env" | "cwd">): { check: Check; location?: PythonLocation } {
  try {
    const location = findPython(io);
    const where = { PYTHON_BIN: "PYTHON_BIN", cwd: "./.venv", package: "the package's .venv" }[location.source];
    return { check: { name: "Python", ok: true, detail: `${location.python} (${where})` }, location };
  } catch (error) {
    return { check: { name: "Python", ok: false, detail: reasonOf(error), fix: "npx thurstone setup" } };
  }
}

/** Version, packages and devices of a Python: after a sign of life one start of it answers all. */
export async function checkPython(location: PythonLocation): Promise<Check[]> {
  const dead = await notPython(location.python);
  if (dead !== null) {
    const fix = location.source === "PYTHON_BIN" ? "correct or unset PYTHON_BIN" : "npx thurstone setup";
    return [{ name: "Python runs", ok: false, detail: dead, fix }];
  }
  try {
    return checksOf(await probePython({ location }));
  } catch (error) {
    return [{ name: "Python", ok: false, detail: reasonOf(error), fix: "npx thurstone setup" }];
  }
}

/** Why a command is no Python that runs; null when it is one. */
async function notPython(python: string): Promise<string | null> {
  try {
    const { stdout } = await promisify(execFile)(python, ["-c", "print(6 * 7)"], { timeout: 20_000 });
    return stdout.trim() === "42" ? null : `${python} is not Python: it does not do what Python code says`;
  } catch (error) {
    return `${python} does not run Python code: ${reasonOf(error).split("\n")[0]}`;
  }
}

/** The lines a report gives. */
export function checksOf({ python, packages, torch, torch_error: torchError }: PythonReport): Check[] {
  const [major = 0, minor = 0] = python.version.split(".").map(Number);
  const newEnough = major === 3 && minor >= 10;
  const version: Check = newEnough
    ? { name: "Python version", ok: true, detail: python.version }
    : {
        name: "Python version",
        ok: false,
        detail: python.version,
        fix: "3.10 or later: set PYTHON_BIN, then npx thurstone setup",
      };
  const lines = packages.map(({ name, wanted, installed, ok }): Check => {
    const found = installed ?? "not installed";
    if (ok) return { name: `Python ${name}`, ok, detail: found };
    return { name: `Python ${name}`, ok, detail: `${found}, wanted ${wanted}`, fix: "npx thurstone setup" };
  });
  return [version, ...lines, deviceCheck(torch, torchError)];
}

function deviceCheck(torch: PythonReport["torch"], error: string | null): Check {
  if (torch === null)
    return { name: "device", ok: false, detail: error ?? "torch was not asked", fix: "npx thurstone setup" };
  const cpu = `CPU with ${torch.threads} threads`;
  if (torch.cuda.length > 0)
    return { name: "device", ok: true, detail: `CUDA ${torch.cuda_build}: ${torch.cuda.join(", ")}; ${cpu}` };
  if (torch.mps) return { name: "device", ok: true, detail: `MPS; ${cpu}` };
  const hint = torch.cuda_build === null ? "torch is built without CUDA" : "no CUDA device is visible";
  return { name: "device", ok: true, detail: `${cpu} (${hint})` };
}

/** Starts a worker without a model, sends it a tensor and stops it: processes, sockets and codec all work. */
export async function checkWorker({ python, pythonPath }: PythonLocation): Promise<Check> {
  const name = "worker";
  try {
    const { startWorker, tensor } = await import("../bridge/index.js");
    await using worker = await startWorker({
      python,
      args: ["-m", "thurstone_runtime", "--engine", "selftest"],
      env: { PYTHONPATH: pythonPath },
    });
    const sent = tensor("f32", [2], Float32Array.of(0.5, -1));
    const { tensors } = await worker.caller.call("echo", {}, { tensors: { sent }, timeout: 10_000 });
    if (!isDeepStrictEqual(tensors["sent"], sent))
      return { name, ok: false, detail: "a tensor came back changed", fix: REPORT };
    return { name, ok: true, detail: "starts, and returns what it is sent" };
  } catch (error) {
    return { name, ok: false, detail: reasonOf(error), fix: REPORT };
  }
}

/** Whether a folder that may not exist yet can be made and written. */
export async function checkWritable(folder: string): Promise<Check> {
  const name = "write access";
  const parent = nearestExisting(folder);
  try {
    await rm(await mkdtemp(join(parent, ".thurstone-doctor-")), { recursive: true });
    return { name, ok: true, detail: folder };
  } catch (error) {
    return {
      name,
      ok: false,
      detail: reasonOf(error),
      fix: "choose another output_dir, or change the folder's permissions",
    };
  }
}

/** Free space where a folder is or will be. */
export async function checkDiskSpace(folder: string): Promise<Check> {
  const { bavail, bsize } = await statfs(nearestExisting(folder));
  const gib = (bavail * bsize) / 2 ** 30;
  const detail = `${formatNumber(Number(gib.toPrecision(3)))} GiB free`;
  if (gib >= LEAST_FREE_GIB) return { name: "disk space", ok: true, detail };
  return {
    name: "disk space",
    ok: false,
    detail,
    fix: `free at least ${LEAST_FREE_GIB} GiB, or choose another output_dir`,
  };
}

function nearestExisting(folder: string): string {
  let path = resolve(folder);
  while (!existsSync(path)) path = dirname(path);
  return path;
}

function reasonOf(error: unknown): string {
  if (ThurstoneError.isInstance(error)) return `${error.code} ${error.message}`;
  return error instanceof Error ? error.message : String(error);
}
