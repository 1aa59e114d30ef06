import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { describe, expect, it } from "vitest";
import { runCommandLine } from "../../src/cli/program.js";
import { printError } from "../../src/cli/print-error.js";
import { ConfigError, WorkerError } from "../../src/errors.js";
import { commandIo, keptOutput } from "./outputs.js";

async function thurstone(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  const io = commandIo(tmpdir());
  const code = await runCommandLine(args, io);
  return { code, out: io.stdout.text(), err: io.stderr.text() };
}

describe("exit codes", () => {
  it("are 0 for help and version", async () => {
    const help = await thurstone("--help");
    expect(help.code).toBe(0);
    for (const name of ["train", "quickstart", "schema", "setup", "doctor", "runs", "distort"])
      expect(help.out).toContain(`  ${name} `);
    const { version } = JSON.parse(readFileSync("package.json", "utf8")) as { version: string };
    expect(await thurstone("--version")).toEqual({ code: 0, out: `${version}\n`, err: "" });
  });

  it.each([
    [["no-such-command"], /unknown command 'no-such-command'/],
    [["runs", "metrics"], /missing required argument 'run'/],
    [["runs", "list", "--jsn"], /unknown option '--jsn'.*Did you mean --json/s],
    [["runs", "metrics", "run", "--last", "0"], /a whole number of at least 1/],
    [["distort", "photo.jpg"], /give --out FOLDER, --contact-sheet FILE, or both/],
    [["distort", "photo.jpg", "--out", "x", "--levels", "1,two"], /a whole number is expected/],
  ])("are 2 for wrong usage: %j", async (args, message) => {
    const { code, err } = await thurstone(...args);
    expect(code).toBe(2);
    expect(err).toMatch(message);
  });

  it("are 1 for an error, which is printed with class and code and without a stack", async () => {
    const { code, err } = await thurstone("runs", "metrics", "nowhere");
    expect(code).toBe(1);
    expect(err).toMatch(/^RunError RUN_NOT_FOUND {2}.*nowhere does not exist\..*\n$/);
  });

  it("come with the traceback when --verbose is anywhere in the line", async () => {
    const { code, err } = await thurstone("runs", "metrics", "nowhere", "--verbose");
    expect(code).toBe(1);
    expect(err).toMatch(/ {4}at .*reader\.ts/);
  });
});

describe("printError", () => {
  it("shows causes and fields only on request", () => {
    const error = new WorkerError("WORKER_DIED", "rank 0 ended", {
      cause: new Error("deep"),
      fields: { log: "Traceback: ..." },
    });
    const [brief, full] = [keptOutput(), keptOutput()];
    printError(error, { stderr: brief, verbose: false });
    printError(error, { stderr: full, verbose: true });
    expect(brief.text()).toBe("WorkerError WORKER_DIED  rank 0 ended\n");
    expect(full.text()).toContain("deep");
    expect(full.text()).toContain("Traceback: ...");
  });

  it("tells errors made on purpose from accidents", () => {
    const [expected, accident] = [keptOutput(), keptOutput()];
    printError(new ConfigError("CONFIG_X", "x"), { stderr: expected, verbose: false });
    printError(new TypeError("x is not a function"), { stderr: accident, verbose: false });
    expect(expected.text()).not.toContain("should not happen");
    expect(accident.text()).toMatch(/^TypeError {2}x is not a function\nThis should not happen/);
  });
});

describe("the command's start", () => {
  it("loads no native library for --help", () => {
    const script = `
      process.argv.push("thurstone", "--help");
      await import("./src/cli/main.ts");
      const native = process.report.getReport().sharedObjects.filter((path) => /sharp|zeromq/.test(path));
      console.log("native libraries:", native.length);`;
    const output = execFileSync(process.execPath, ["--import", "tsx", "--input-type=module", "-e", script], {
      encoding: "utf8",
    });
    expect(output).toContain("Usage: thurstone");
    expect(output).toContain("native libraries: 0");
  });
});
