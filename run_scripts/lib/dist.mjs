/**
 * The build: src/ -> dist/, unless dist/ is what a build of this very src/ wrote.
 *
 * @module
 */

import { chmodSync, existsSync, readdirSync, readFileSync, renameSync, rmSync, statSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { digest, Problem, readStamp, ROOT, run, say, step, writeStamp } from "./tools.mjs";

const DIST = join(ROOT, "dist");
/** Beside dist and as deep, so that source maps stay right after the rename. */
const BUILDING = join(ROOT, "dist.building");
const STAMP = join(ROOT, ".cache", "build.json");

export const dist = step({
  name: "build",
  lock: join(ROOT, ".cache", "build.lock"),
  isCurrent() {
    const stamp = readStamp(STAMP);
    return stamp !== undefined && existsSync(DIST) && stamp.inputs === inputs() && stamp.outputs === outputs();
  },
  async complete() {
    const built = inputs();
    say("tsc -p tsconfig.build.json");
    await compile();
    writeStamp(STAMP, { inputs: built, outputs: outputs() });
  },
});

/** Compiles into a folder of its own: dist/ is never half written, and no file of a renamed source stays in it. */
async function compile() {
  rmSync(BUILDING, { recursive: true, force: true });
  const tsc = join(dirname(createRequire(import.meta.url).resolve("typescript/package.json")), "bin", "tsc");
  const compiler = [tsc, "-p", "tsconfig.build.json", "--outDir", BUILDING];
  if ((await run(process.execPath, compiler, { inOnePiece: true })) !== 0) {
    rmSync(BUILDING, { recursive: true, force: true });
    throw new Problem("the TypeScript build failed; the errors are above.");
  }
  chmodSync(join(BUILDING, "cli", "main.js"), 0o755);
  rmSync(DIST, { recursive: true, force: true });
  renameSync(BUILDING, DIST);
}

function inputs() {
  const files = ["package.json", "package-lock.json", "tsconfig.json", "tsconfig.build.json", ...filesUnder("src")];
  return digest(...files.flatMap((file) => [file, readFileSync(join(ROOT, file))]));
}

function outputs() {
  return digest(
    ...filesUnder("dist").map((file) => {
      const { size, mtimeMs } = statSync(join(ROOT, file));
      return `${file} ${size} ${mtimeMs}`;
    }),
  );
}

function filesUnder(folder) {
  return readdirSync(join(ROOT, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name).slice(ROOT.length))
    .sort();
}
