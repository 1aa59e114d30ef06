import { spawn } from "node:child_process";
import {
  accessSync,
  chmodSync,
  constants,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { once } from "node:events";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

/**
 * A clone in small: the real scripts, one linked npm package (the real TypeScript behind a link), one requirement every
 * new environment meets. Nothing is downloaded.
 */
let clone: string;
const repository = join(import.meta.dirname, "../..");

beforeAll(() => {
  clone = mkdtempSync(join(tmpdir(), "thurstone-clone-"));
  cpSync(join(repository, "run_scripts"), join(clone, "run_scripts"), { recursive: true });
  write(
    "python_runtime/thurstone_runtime/compile.py",
    'import sys\nprint("left nothing" if sys.dont_write_bytecode else "compiled")\n',
  );
  cpSync(
    join(repository, "python_runtime/thurstone_runtime/environment.py"),
    join(clone, "python_runtime/thurstone_runtime/environment.py"),
  );
  write("requirements.txt", "pip>=20 # in every environment\n# Development\n");
  write("src/cli/main.ts", "export const answer: number = 42;\n");
  for (const name of ["tsconfig.json", "tsconfig.build.json"]) cpSync(join(repository, name), join(clone, name));
  writeJson("tsconfig.json", { compilerOptions: { module: "nodenext", types: [], noEmit: true } });
  write(
    "tools/typescript/bin/tsc",
    `require(${JSON.stringify(join(repository, "node_modules/typescript/bin/tsc"))});\n`,
  );
  writeJson("tools/typescript/package.json", { name: "typescript", version: "1.0.0" });
  const dependencies = { typescript: "file:tools/typescript" };
  writeJson("package.json", { name: "clone", version: "1.0.0", type: "module", dependencies });
  writeJson("package-lock.json", {
    name: "clone",
    version: "1.0.0",
    lockfileVersion: 3,
    packages: {
      "": { name: "clone", version: "1.0.0", dependencies },
      "node_modules/typescript": { resolved: "tools/typescript", link: true },
      "tools/typescript": { name: "typescript", version: "1.0.0" },
    },
  });
});

afterAll(() => rmSync(clone, { recursive: true, force: true }));

function write(path: string, content: string): void {
  mkdirSync(join(clone, path, ".."), { recursive: true });
  writeFileSync(join(clone, path), content);
}

function writeJson(path: string, value: unknown): void {
  write(path, JSON.stringify(value));
}

interface Outcome {
  readonly code: number;
  /** Lines the script itself wrote. */
  readonly said: string[];
  readonly all: string;
}

async function setup(args: string[] = [], env: Record<string, string> = {}): Promise<Outcome> {
  const child = spawn(process.execPath, [join(clone, "run_scripts/setup.mjs"), ...args], {
    // As images of containers have it.
    env: { ...process.env, PYTHONDONTWRITEBYTECODE: "1", ...env },
  });
  let all = "";
  for (const stream of [child.stdout, child.stderr])
    stream.on("data", (chunk: Buffer) => (all += chunk.toString("utf8")));
  const [code] = (await once(child, "close")) as [number];
  const said = all.split("\n").filter((line) => line.startsWith("setup  "));
  return { code, said: said.map((line) => line.slice("setup  ".length).replace(/\d+\.\d\d s/, "N s")), all };
}

const inPlace = { code: 0, said: ["everything is in place (N s)"] };
const done = (outcome: Outcome): string[] => outcome.said.filter((line) => line.includes(": done in"));

describe("the setup of a fresh clone", () => {
  it("makes everything, twice at once without harm, also over a half-made environment, and says how long each part took", async () => {
    mkdirSync(join(clone, ".venv/lib"), { recursive: true });
    const [first, second] = await Promise.all([setup(), setup()]);
    expect([first.code, second.code], first.all + second.all).toEqual([0, 0]);
    for (const one of [first, second]) {
      // npm and the build go on beside pip.
      const [python, ...beside] = done(one).sort();
      expect(python).toBe("Python packages: done in N s");
      expect(beside).toEqual(["build: done in N s", "npm packages: done in N s"]);
      expect(one.said.indexOf(beside[0]!)).toBeGreaterThan(one.said.indexOf(beside[1]!));
      expect(one.said.at(-1)).toBe("ready after N s");
    }
    const both = [...first.said, ...second.said];
    for (const work of [
      /^npm packages: npm ci$/,
      /\.venv is incomplete or too old, making it anew$/,
      /^virtual environment: /,
      /^Python packages: compiling what a worker loads$/,
      /^tsc -p/,
    ]) {
      expect(both.filter((line) => work.test(line))).toHaveLength(1);
    }
    expect((first.all + second.all).match(/^compiled$/gm)).toHaveLength(1);
    accessSync(join(clone, "dist/cli/main.js"), constants.X_OK);
    expect(readdirSync(clone).filter((name) => /lock\b.*\d|building/.test(name))).toEqual([]);
  });

  it("does nothing the second time and says so in one line", async () => {
    expect(await setup()).toMatchObject(inPlace);
  });
});

describe("a setup that was done", () => {
  it("builds again after a change of the sources, and drops what has no source any more", async () => {
    rmSync(join(clone, "src/cli/main.ts"));
    write("src/cli/main.ts", "export const answer: number = 43;\n");
    write("src/extra.ts", "export const extra = 1;\n");
    expect(done(await setup())).toEqual(["build: done in N s"]);
    rmSync(join(clone, "src/extra.ts"));
    await setup();
    expect(readdirSync(join(clone, "dist"))).toEqual(["cli"]);
  });

  it("builds again after a change of the output", async () => {
    write("dist/cli/main.js", "broken");
    expect(done(await setup())).toEqual(["build: done in N s"]);
    expect(await setup()).toMatchObject(inPlace);
  });

  it("fails with the compiler's words, keeps the old build, and builds once the source is right", async () => {
    write("src/cli/main.ts", "export const answer: number = 'text';\n");
    const failed = await setup();
    expect(failed.code).toBe(1);
    expect(failed.all).toContain("TS2322");
    expect(failed.all).not.toContain("at ");
    accessSync(join(clone, "dist/cli/main.js"));
    write("src/cli/main.ts", "export const answer: number = 44;\n");
    expect((await setup()).code).toBe(0);
  });

  it("installs again when an interrupted npm ci left a part", async () => {
    rmSync(join(clone, "node_modules"), { recursive: true });
    mkdirSync(join(clone, "node_modules/typescript"), { recursive: true });
    const outcome = await setup();
    expect(outcome.said).toContain("npm packages: npm ci");
    expect(done(outcome)).toEqual(["npm packages: done in N s"]);
  });

  it("keeps node_modules that npm itself brought up to date", async () => {
    rmSync(join(clone, "node_modules/.thurstone-setup.json"));
    expect((await setup()).said[0]).toBe("node_modules already holds what package-lock.json asks for");
  });

  it("installs after a change of the requirements, in the environment that is there", async () => {
    write("requirements.txt", "pip>=19\n# Development\n");
    const outcome = await setup();
    expect(done(outcome)).toEqual(["Python packages: done in N s"]);
    expect(outcome.all).not.toContain("virtual environment");
  });

  it("notices a package an interrupted pip left unfinished", async () => {
    rmSync(join(clone, ".venv/.thurstone-setup.json"));
    const [lib] = readdirSync(join(clone, ".venv/lib"));
    write(
      `.venv/lib/${lib}/site-packages/half-1.0.dist-info/METADATA`,
      "Metadata-Version: 2.1\nName: half\nVersion: 1.0\n",
    );
    expect((await setup()).said).toContain("the packages in the environment are damaged, making it anew");
    expect(await setup()).toMatchObject(inPlace);
  });

  it("says what is wrong with each part when several fail, and goes on with what is finished", async () => {
    write("python_runtime/thurstone_runtime/compile.py", "import no_such_package\n");
    write("requirements.txt", "pip>=18\n# Development\n");
    write("src/cli/main.ts", "export const answer: number = 'text';\n");
    const failed = await setup();
    expect(failed.code).toBe(1);
    expect(failed.all).toMatch(/No module named 'no_such_package'/);
    expect(failed.said).toContainEqual(
      expect.stringMatching(/^pip finished, but the packages in .* cannot be imported/),
    );
    expect(failed.said).toContain("the TypeScript build failed; the errors are above.");
    write("python_runtime/thurstone_runtime/compile.py", "");
    write("src/cli/main.ts", "export const answer: number = 45;\n");
    expect((await setup()).code).toBe(0);
  });

  it("takes over the lock of a process that is gone", async () => {
    write(".cache/npm.lock/owner", "999999999");
    rmSync(join(clone, "node_modules/.thurstone-setup.json"));
    expect((await setup()).code).toBe(0);
    expect(readdirSync(join(clone, ".cache"))).toEqual(["build.json"]);
  });
});

describe("the search for Python", () => {
  const pythonOnly = ["--python-only", "--venv"];

  /** Runs with nothing on PATH but interpreters that answer like this. */
  async function withPythons(answers: Record<string, { version: number[]; venv: boolean }>, env = {}): Promise<string> {
    const path = mkdtempSync(join(clone, "path-"));
    for (const [name, answer] of Object.entries(answers)) {
      writeFileSync(join(path, name), `#!/bin/sh\necho '${JSON.stringify({ ...answer, base: "/usr" })}'\n`);
      chmodSync(join(path, name), 0o755);
    }
    const outcome = await setup([...pythonOnly, join(path, "venv")], { PATH: path, PYTHON_BIN: "", ...env });
    expect(outcome.code).toBe(1);
    expect(readdirSync(path).filter((name) => name.startsWith("venv"))).toEqual([]);
    return outcome.all.trim();
  }

  it("names the versions that are too old", async () => {
    const old = { python3: { version: [3, 8, 10], venv: true }, python: { version: [2, 7, 18], venv: false } };
    expect(await withPythons(old)).toMatch(
      /Python 3\.10 or later is needed; found only older ones: python3 is 3\.8\.10, python is 2\.7\.18\./,
    );
  });

  it("says how to install one when there is none", async () => {
    expect(await withPythons({})).toMatch(
      /none of python3\.12, .* is on PATH\.\n.*sudo apt install python3\.11 python3\.11-venv/,
    );
  });

  it("gives the apt package when venv is missing", async () => {
    const bare = { "python3.12": { version: [3, 12, 3], venv: false } };
    expect(await withPythons(bare)).toMatch(
      /python3\.12 is Python 3\.12\.3, but its venv or ensurepip module is missing\.\n.*sudo apt install python3\.12-venv/,
    );
  });

  it("does not look further when PYTHON_BIN is wrong", async () => {
    const good = { python3: { version: [3, 12, 3], venv: true } };
    expect(await withPythons(good, { PYTHON_BIN: "/nowhere/python" })).toMatch(
      /PYTHON_BIN is "\/nowhere\/python", which does not run/,
    );
  });

  it("makes no environment when PYTHON_BIN has what is needed, and one from PYTHON_BIN when it has not", async () => {
    const PYTHON_BIN = join(clone, ".venv/bin/python");
    const venv = join(clone, "other");
    expect(await setup([...pythonOnly, venv], { PYTHON_BIN })).toMatchObject(inPlace);
    write("requirements.txt", "pip>=19\nno-such-package-of-thurstone>=1\n");
    expect((await setup([...pythonOnly, venv], { PYTHON_BIN, PIP_NO_INDEX: "1" })).said).toEqual([
      expect.stringMatching(/^virtual environment: .*\.venv\/bin\/python \(Python 3\./),
      "Python packages: pip install of 2 requirements",
      "pip install failed (attempt 1 of 3), trying again",
      "pip install failed (attempt 2 of 3), trying again",
      expect.stringMatching(/^pip install failed three times; .*start again/),
    ]);
  });

  it("refuses arguments it does not know", async () => {
    expect((await setup(["--pyton-only"])).all).toContain('unknown argument "--pyton-only"');
  });
});
