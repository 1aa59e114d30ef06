import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  checkNode,
  checkPlatform,
  checkPython,
  checkPythonFound,
  checksOf,
  checkWritable,
  type Check,
} from "../../src/cli/checks.js";
import { runCommandLine } from "../../src/cli/program.js";
import type { PythonReport } from "../../src/python/index.js";
import { commandIo } from "./outputs.js";

let folder: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "thurstone-doctor-"));
  writeFileSync(join(folder, "file"), "");
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe("thurstone doctor", () => {
  it("passes on this machine, says what is supported, and leaves nothing behind", async () => {
    const io = commandIo(folder, process.env);
    expect(await runCommandLine(["doctor", "--json"], io)).toBe(0);
    const report = JSON.parse(io.stdout.text()) as { ok: boolean; checks: Check[]; support: string[] };
    expect(report.ok).toBe(true);
    const names = report.checks.map(({ name }) => name);
    expect(names).toEqual(
      expect.arrayContaining(["Node", "npm zeromq", "npm sharp", "Python torch", "device", "worker", "write access"]),
    );
    expect(report.support.join(" ")).toMatch(/Linux.*macOS.*MPS.*Windows.*WSL/);
    expect(readdirSync(folder)).toEqual(["file"]);
  });

  it("fails with the fix below the line", async () => {
    const io = commandIo(folder, { ...process.env, PYTHON_BIN: "/nowhere/python" });
    expect(await runCommandLine(["doctor", "--output_dir", "file/run"], io)).toBe(1);
    expect(io.stdout.text()).toMatch(/^FAIL {2}Python {2,}ENVIRONMENT_PYTHON_MISSING.*\n {6,}-> npx thurstone setup$/m);
    expect(io.stdout.text()).toMatch(/^FAIL {2}write access.*\n {6,}-> choose another output_dir/m);
  });

  it("says of a PYTHON_BIN that is no Python just that, and asks it nothing more", async () => {
    const location = { python: process.execPath, pythonPath: "", source: "PYTHON_BIN" } as const;
    const checks = await checkPython(location);
    expect(checks).toHaveLength(1);
    expect(checks[0]).toMatchObject({ name: "Python runs", ok: false, fix: "correct or unset PYTHON_BIN" });
    expect(checks[0]!.detail).toContain(`${process.execPath} does not run Python code: `);
    expect(checks[0]!.detail).not.toContain("\n");
    const [silent] = await checkPython({ ...location, python: "true", source: "package" });
    expect(silent).toMatchObject({
      ok: false,
      detail: expect.stringMatching(/^true is not Python/),
      fix: "npx thurstone setup",
    });
  });
});

describe("single checks", () => {
  const report: PythonReport = {
    python: { version: "3.11.7", executable: "python" },
    packages: [
      { name: "torch", wanted: "==2.13.0", installed: "2.13.0+cpu", ok: true },
      { name: "pillow", wanted: "==12.3.0", installed: "11.0.0", ok: false },
      { name: "msgpack", wanted: ">=1.1", installed: null, ok: false },
    ],
    torch: { version: "2.13.0+cpu", cuda: [], cuda_memory: [], cuda_build: null, mps: false, threads: 2 },
    torch_error: null,
  };
  const details = (changed: Partial<PythonReport>): Record<string, string> =>
    Object.fromEntries(checksOf({ ...report, ...changed }).map(({ name, ok, detail }) => [name, `${ok} ${detail}`]));

  it("compare Node's version with 20.19", () => {
    expect(["v20.18.9", "v20.19.0", "v22.0.0", "v18.20.0"].map((version) => checkNode(version).ok)).toEqual([
      false,
      true,
      true,
      false,
    ]);
  });

  it("refuse platforms without Unix sockets", () => {
    expect(checkPlatform("linux").ok).toBe(true);
    expect(checkPlatform("darwin")).toMatchObject({ ok: true, detail: expect.stringContaining("macOS") });
    expect(checkPlatform("win32")).toMatchObject({ ok: false, fix: expect.stringContaining("WSL 2") });
  });

  it("name a package's version beside the wanted one", () => {
    expect(details({})).toEqual({
      "Python version": "true 3.11.7",
      "Python torch": "true 2.13.0+cpu",
      "Python pillow": "false 11.0.0, wanted ==12.3.0",
      "Python msgpack": "false not installed, wanted >=1.1",
      device: "true CPU with 2 threads (torch is built without CUDA)",
    });
    expect(details({ python: { version: "3.9.18", executable: "python" } })["Python version"]).toBe("false 3.9.18");
  });

  it("tell the devices torch can use", () => {
    const torch = { version: "2.13.0", cuda: [], cuda_memory: [], cuda_build: "13.0", mps: false, threads: 8 };
    expect(details({ torch })["device"]).toBe("true CPU with 8 threads (no CUDA device is visible)");
    expect(details({ torch: { ...torch, cuda: ["H200", "H200"] } })["device"]).toBe(
      "true CUDA 13.0: H200, H200; CPU with 8 threads",
    );
    expect(details({ torch: { ...torch, mps: true } })["device"]).toBe("true MPS; CPU with 8 threads");
    expect(details({ torch: null, torch_error: "ImportError: libcudart" })["device"]).toBe(
      "false ImportError: libcudart",
    );
  });

  it("find out about write access without making the folder", async () => {
    expect(await checkWritable(join(folder, "a", "b"))).toMatchObject({ ok: true });
    expect(await checkWritable(join(folder, "file", "b"))).toMatchObject({ ok: false, fix: expect.any(String) });
    expect(readdirSync(folder)).toEqual(["file"]);
  });

  it("say where Python was found", () => {
    expect(checkPythonFound({ env: { PYTHON_BIN: "python3.11" }, cwd: folder }).check.detail).toBe(
      "python3.11 (PYTHON_BIN)",
    );
  });
});
