import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { findPython } from "../src/python/index.js";

const repository = resolve(import.meta.dirname, "..");
const manifest = JSON.parse(readFileSync(join(repository, "package.json"), "utf8")) as {
  version: string;
  exports: Record<string, unknown>;
};

/** Their programs must compile in a project of a user's. */
const PAGES = [
  "README.md",
  ...["algorithms", "custom-losses", "rewards", "python-rewards", "scoring", "verify"].map((page) => `docs/${page}.md`),
];

/** A project of its own that installed the packed tarball, and the paths in the tarball. */
let project: string;
let packed: string[];

beforeAll(() => {
  project = mkdtempSync(join(tmpdir(), "thurstone-project-"));
  const output = run("npm", ["pack", "--json", "--silent", "--pack-destination", project], repository);
  const [tarball] = JSON.parse(output.slice(output.indexOf("["))) as [{ filename: string; files: { path: string }[] }];
  packed = tarball.files.map(({ path }) => path);
  writeFileSync(join(project, "package.json"), JSON.stringify({ name: "project", type: "module", private: true }));
  run("npm", ["install", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline", `./${tarball.filename}`]);
  symlinkSync(join(repository, "node_modules/@types"), join(project, "node_modules/@types"));
}, 120_000);

afterAll(() => rmSync(project, { recursive: true, force: true }));

/** What the compiler has to say about files of the project; nothing when they are right. */
function typeCheck(files: readonly string[]): string {
  const options = ["--noEmit", "--strict", "--module", "nodenext", "--target", "es2023", "--types", "node"];
  const libraries = ["--lib", "es2023,esnext.disposable", "--skipLibCheck"];
  return run(join(repository, "node_modules/.bin/tsc"), [...options, ...libraries, ...files]);
}

function run(command: string, args: string[], cwd = project, env = {}): string {
  return execFileSync(command, args, { cwd, encoding: "utf8", env: { ...process.env, ...env } });
}

describe("the packed tarball", () => {
  it("holds what a user needs", () => {
    const needed = [
      "LICENSE",
      "README.md",
      "CHANGELOG.md",
      "requirements.txt",
      "dist/index.js",
      "dist/index.d.ts",
      "dist/cli/main.js",
      "python_runtime/thurstone_runtime/__main__.py",
      "python_runtime/thurstone_runtime/environment.py",
      "run_scripts/setup.mjs",
      "run_scripts/lib/python-environment.mjs",
    ];
    expect(needed.filter((path) => !packed.includes(path))).toEqual([]);
    for (const folder of ["configs/", "assets/"]) expect(packed.some((path) => path.startsWith(folder))).toBe(true);
  });

  it("holds nothing else", () => {
    const known =
      /^(dist\/.+\.(js|d\.ts)(\.map)?|python_runtime\/.+\.py|(configs|run_scripts|assets|docs|examples)\/.+|(requirements\.txt|package\.json|LICENSE|README\.md|CHANGELOG\.md|CONTRIBUTING\.md))$/;
    const surprising = packed.filter(
      (path) => !known.test(path) || /(^|\/)(__pycache__|test|tests|node_modules)\/|\.test\./.test(path),
    );
    expect(surprising).toEqual([]);
  });
});

describe("a project that installed it", () => {
  it("imports train and every subpath", () => {
    const subpaths = Object.keys(manifest.exports).filter((path) => path !== "./package.json");
    const script = `
      const found = {};
      for (const path of ${JSON.stringify(subpaths)}) found[path] = Object.keys(await import("thurstone" + path.slice(1)));
      console.log(JSON.stringify(found));`;
    const found = JSON.parse(run(process.execPath, ["--input-type=module", "-e", script])) as Record<string, string[]>;
    expect(Object.keys(found)).toEqual(subpaths);
    expect(found["."]).toContain("train");
    for (const names of Object.values(found)) expect(names.length).toBeGreaterThan(0);
  });

  it("type-checks against the declarations of every subpath", () => {
    const subpaths = Object.keys(manifest.exports).filter((path) => path !== "./package.json");
    const lines = subpaths.map(
      (path, index) => `import * as module${index} from "thurstone${path.slice(1)}";\nvoid module${index};`,
    );
    writeFileSync(join(project, "use.ts"), `import { train } from "thurstone";\nvoid train;\n${lines.join("\n")}\n`);
    expect(typeCheck(["use.ts"])).toBe("");
  });

  it("type-checks every program of the README and of the pages on algorithms, losses and rewards", () => {
    const given = 'declare const config: import("thurstone").ConfigInput;\n';
    const names = PAGES.flatMap((page) => {
      const programs = [...readFileSync(join(repository, page), "utf8").matchAll(/^```ts\n(.*?)^```$/gms)];
      return programs.map(([, text], index) => {
        const name = `${page.replaceAll(/[/.]/g, "-")}-${index}.ts`;
        writeFileSync(join(project, name), `${text!.includes("train(config") ? given : ""}${text!}`);
        return name;
      });
    });
    expect(names.length).toBeGreaterThanOrEqual(13);
    expect(typeCheck(names)).toBe("");
  });

  it("has the thurstone command, and a setup that finds a complete Python", () => {
    const thurstone = join(project, "node_modules/.bin/thurstone");
    expect(run(thurstone, ["--version"])).toBe(`${manifest.version}\n`);
    const { python } = findPython({ cwd: repository });
    expect(run(thurstone, ["setup"], project, { PYTHON_BIN: python })).toMatch(/^setup {2}everything is in place/);
    expect(existsSync(join(project, ".venv"))).toBe(false);
  });
});
