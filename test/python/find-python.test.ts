import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { findPython } from "../../src/python/index.js";

let cwd: string;

beforeEach(() => {
  cwd = mkdtempSync(join(tmpdir(), "thurstone-find-"));
});

afterEach(() => rmSync(cwd, { recursive: true, force: true }));

function makeEnvironment(pythonBin?: string): string {
  mkdirSync(join(cwd, ".venv", "bin"), { recursive: true });
  writeFileSync(join(cwd, ".venv", "bin", "python"), "");
  writeFileSync(join(cwd, ".venv", ".thurstone-setup.json"), JSON.stringify({ key: "", pythonBin }));
  return join(cwd, ".venv", "bin", "python");
}

it("prefers PYTHON_BIN, whatever environments exist", () => {
  makeEnvironment();
  expect(findPython({ env: { PYTHON_BIN: process.execPath }, cwd })).toMatchObject({
    python: process.execPath,
    source: "PYTHON_BIN",
  });
  expect(findPython({ env: { PYTHON_BIN: "python3.11" }, cwd }).python).toBe("python3.11");
});

it("takes the environment that setup made from PYTHON_BIN for PYTHON_BIN itself", () => {
  const python = makeEnvironment("python3.11");
  expect(findPython({ env: { PYTHON_BIN: "python3.11" }, cwd })).toMatchObject({ python, source: "PYTHON_BIN" });
  expect(findPython({ env: { PYTHON_BIN: "python3.12" }, cwd }).python).toBe("python3.12");
});

it("takes the environment of the current folder before the package's own", () => {
  const python = makeEnvironment();
  const found = findPython({ env: {}, cwd });
  expect(found).toMatchObject({ python, source: "cwd" });
  expect(found.pythonPath).toMatch(/python_runtime$/);
});

it("names the file when PYTHON_BIN points nowhere", () => {
  expect(() => findPython({ env: { PYTHON_BIN: "/nowhere/python" }, cwd })).toThrowError(
    expect.objectContaining({
      name: "EnvironmentError",
      code: "ENVIRONMENT_PYTHON_MISSING",
      message: expect.stringContaining('PYTHON_BIN is "/nowhere/python"'),
    }),
  );
});
