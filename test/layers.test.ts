import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { describe, expect, it } from "vitest";

/** Which folder of src/ may import which; what those may import is allowed as well. Everything may import errors.ts. */
const BELOW: Readonly<Record<string, readonly string[]>> = {
  cli: ["serve", "trainer", "runs", "config", "python", "testing"],
  serve: ["trainer"],
  trainer: [
    "policy",
    "data",
    "images",
    "prompts",
    "rewards",
    "advantages",
    "losses",
    "stats",
    "runs",
    "config",
    "python",
  ],
  testing: ["policy", "bridge", "rewards"],
  policy: ["bridge", "config", "stats", "losses"],
  remote: ["rewards"],
  rewards: ["stats"],
  advantages: ["stats"],
  losses: ["stats"],
  data: ["images", "config", "stats", "python"],
  prompts: ["data", "config"],
  images: ["config"],
  runs: [],
  python: [],
  config: [],
  bridge: [],
  stats: [],
};

/** Folders without input and output, dates and chance: the same arguments give the same result everywhere. */
const PURE = ["stats", "rewards", "advantages", "losses"];

const SOURCE = resolve(import.meta.dirname, "../src");

interface SourceFile {
  /** Relative to src/. */
  readonly path: string;
  /** First part of the path; "" for files of src/ itself. */
  readonly folder: string;
  readonly text: string;
  readonly imports: readonly string[];
}

const files: SourceFile[] = readdirSync(SOURCE, { recursive: true, encoding: "utf8" })
  .filter((path) => path.endsWith(".ts"))
  .map((path) => {
    const text = readFileSync(join(SOURCE, path), "utf8");
    const imports = [...text.matchAll(/(?:\bfrom|\bimport\(|^import)\s*"([^"]+)"/gm)].map((match) => match[1] ?? "");
    return { path, folder: folderOf(path), text, imports };
  });

function folderOf(path: string): string {
  return path.includes("/") ? (path.split("/")[0] ?? "") : "";
}

/** Imports of other folders of src/, as paths relative to src/. */
function foreignImports(file: SourceFile): string[] {
  return file.imports
    .filter((name) => name.startsWith("."))
    .map((name) => relative(SOURCE, resolve(SOURCE, dirname(file.path), name)))
    .filter((path) => folderOf(path) !== file.folder);
}

function everythingBelow(folder: string): Set<string> {
  const direct = BELOW[folder] ?? [];
  return new Set(direct.flatMap((name) => [name, ...everythingBelow(name)]));
}

describe("imports", () => {
  it("point down only", () => {
    const wrong = files
      .filter(({ folder }) => folder !== "")
      .flatMap((file) => {
        const below = everythingBelow(file.folder);
        const allowed = (path: string): boolean => path === "errors.js" || below.has(folderOf(path));
        return foreignImports(file)
          .filter((path) => !allowed(path))
          .map((path) => `${file.path} imports ${path}`);
      });
    expect(wrong).toEqual([]);
  });

  it("enter another folder through its index", () => {
    const wrong = files
      .filter(({ folder }) => folder !== "")
      .flatMap((file) =>
        foreignImports(file)
          .filter((path) => path.includes("/") && !path.endsWith("/index.js"))
          .map((path) => `${file.path} imports ${path}`),
      );
    expect(wrong).toEqual([]);
  });

  it("are listed here for every folder", () => {
    const folders = new Set(files.map(({ folder }) => folder).filter((folder) => folder !== ""));
    expect([...folders].filter((folder) => !(folder in BELOW))).toEqual([]);
  });
});

describe("a folder keeps to its subject:", () => {
  it("errors.ts imports nothing", () => {
    expect(files.find(({ path }) => path === "errors.ts")?.imports).toEqual([]);
  });

  it.each(PURE)("%s is pure", (folder) => {
    const impure = files
      .filter((file) => file.folder === folder)
      .filter(
        (file) =>
          file.imports.some((name) => /^node:(?!timers|events)/.test(name)) || /Math\.random|\bDate\b/.test(file.text),
      );
    expect(impure.map(({ path }) => path)).toEqual([]);
  });

  it("bridge knows no word of reinforcement learning", () => {
    const talking = files.filter(
      ({ folder, text }) => folder === "bridge" && /\b(reward|rollout|prompt|advantage)s?\b/i.test(text),
    );
    expect(talking.map(({ path }) => path)).toEqual([]);
  });

  it("pythonia, whose import starts a process, is loaded by one file, when it is called", () => {
    const loading = files.filter(({ imports }) => imports.includes("pythonia"));
    expect(loading.map(({ path }) => path)).toEqual(["python/call-child.ts"]);
    expect(loading[0]?.text).toContain('await import("pythonia")');
  });
});
