import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { describe, expect, it } from "vitest";

const scripts = join(import.meta.dirname, "../../run_scripts");

function run(script: string, ...args: string[]): { code: number | null; out: string; err: string } {
  const { status, stdout, stderr } = spawnSync(process.execPath, [join(scripts, script), ...args], {
    encoding: "utf8",
  });
  return { code: status, out: stdout, err: stderr };
}

describe("python.mjs", () => {
  it("runs the clone's Python with the worker's package on its path, and hands its exit code on", () => {
    const program = "import sys, thurstone_runtime; print(thurstone_runtime.__name__, *sys.argv[1:]); sys.exit(7)";
    expect(run("python.mjs", "-c", program, "--flag", "two words")).toEqual({
      code: 7,
      out: "thurstone_runtime --flag two words\n",
      err: "",
    });
  });
});

describe("bench.mjs", () => {
  it("lists the benchmarks, and names them when asked for another", () => {
    const list = run("bench.mjs");
    expect(list).toMatchObject({
      code: 0,
      out: expect.stringMatching(/^npm run bench -- NAME, where NAME is one of: /),
    });
    const wrong = run("bench.mjs", "no-such-bench");
    expect(wrong).toMatchObject({
      code: 1,
      err: expect.stringContaining('bench  there is no benchmark "no-such-bench"'),
    });
  });
});
