import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { callPython, findPython, probePython, type PythonLocation } from "../../src/python/index.js";

const SHIM = `
import os, sys, time

def echo(*values):
    print("noise on stdout")
    return values

def fails():
    raise ValueError("no such picture")

def no_json():
    return object()

def dies():
    print("last words", file=sys.stderr, flush=True)
    os._exit(3)

def hangs(path):
    with open(path, "w") as file:
        file.write(str(os.getpid()))
    time.sleep(600)
`;

let folder: string;
let location: PythonLocation;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "thurstone-python-"));
  writeFileSync(join(folder, "shim.py"), SHIM);
  const found = findPython();
  location = { ...found, pythonPath: `${found.pythonPath}${delimiter}${folder}` };
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** State letter of a process, Z for one that only waits to be collected; undefined when it is gone. */
function stateOf(pid: number): string | undefined {
  try {
    return execFileSync("ps", ["-o", "state=", "-p", String(pid)], { encoding: "utf8" }).trim();
  } catch {
    return undefined;
  }
}

describe("callPython", () => {
  const call = (name: string, args: readonly (string | number | boolean)[] = [], timeout = 30_000): Promise<unknown> =>
    callPython({ module: "shim", function: name, args, location, timeout });

  it("returns the function's value, whatever it prints", async () => {
    expect(await call("echo", ["text", 2.5, true])).toEqual(["text", 2.5, true]);
  });

  it("reports an exception with its words", async () => {
    await expect(call("fails")).rejects.toMatchObject({
      name: "EnvironmentError",
      code: "ENVIRONMENT_PYTHON_FAILED",
      message: expect.stringContaining("no such picture"),
    });
  });

  it("carries numbers that are not finite both ways", async () => {
    const values = [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
    expect(await call("echo", values)).toEqual(values);
  });

  it("survives a value that JSON has no form for", async () => {
    await expect(call("no_json")).rejects.toMatchObject({
      code: "ENVIRONMENT_PYTHON_FAILED",
      message: expect.stringContaining("not JSON serializable"),
    });
  });

  it("survives a Python that ends in the middle of a call", async () => {
    await expect(call("dies")).rejects.toMatchObject({
      code: "ENVIRONMENT_PYTHON_FAILED",
      message: expect.stringMatching(/Python ended with 3 during the call.*last words/s),
    });
  });

  it("kills Python at the deadline", async () => {
    const file = join(folder, "pid");
    // However long Python takes to start on a busy machine: the deadline is to meet it in the call.
    for (let deadline = 4_000; !existsSync(file) && deadline < 60_000; deadline *= 3) {
      await expect(call("hangs", [file], deadline)).rejects.toMatchObject({ code: "ENVIRONMENT_PYTHON_TIMEOUT" });
    }
    const pid = Number(execFileSync("cat", [file], { encoding: "utf8" }));
    await expect.poll(() => stateOf(pid) ?? "Z", { timeout: 10_000 }).toMatch(/^Z/);
  });

  it("says which Python could not be started", async () => {
    const nowhere = callPython({
      module: "shim",
      function: "echo",
      location: { ...location, python: "/nowhere/python" },
    });
    await expect(nowhere).rejects.toMatchObject({
      code: "ENVIRONMENT_PYTHON_FAILED",
      message: expect.stringContaining("/nowhere/python"),
    });
  });
});

describe("probePython", () => {
  it("lists the requirements with what is installed", async () => {
    const report = await probePython({ torch: false });
    expect(report.python.version).toMatch(/^3\.\d+\.\d+/);
    expect(report.packages.find(({ name }) => name === "pillow")).toEqual({
      name: "pillow",
      wanted: "==12.3.0",
      installed: "12.3.0",
      ok: true,
    });
    expect(report.packages.filter(({ ok }) => !ok)).toEqual([]);
    expect(report.torch).toBeNull();
  });
});
