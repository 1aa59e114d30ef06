/**
 * The npm side of the setup: node_modules as package-lock.json says.
 *
 * @module
 */

import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { digest, Problem, readStamp, ROOT, runWithRetries, say, step, writeStamp } from "./tools.mjs";

const FOLDER = join(ROOT, "node_modules");
/** Inside node_modules, so that it goes when node_modules goes: `npm ci` deletes the folder before it begins. */
const STAMP = join(FOLDER, ".thurstone-setup.json");
const LOCK_FILE = join(ROOT, "package-lock.json");

export const nodePackages = step({
  name: "npm packages",
  lock: join(ROOT, ".cache", "npm.lock"),
  isCurrent: () => readStamp(STAMP)?.key === key(),
  async complete() {
    if (installedAsLocked()) say("node_modules already holds what package-lock.json asks for");
    else await install();
    writeStamp(STAMP, { key: key() });
  },
});

function key() {
  return digest(readFileSync(LOCK_FILE), process.version, process.platform, process.arch);
}

async function install() {
  if (spawnSync("npm", ["--version"]).status !== 0) {
    throw new Problem(
      "npm was not found on PATH. It comes with Node: install Node 20.19 or later from https://nodejs.org.",
    );
  }
  say("npm packages: npm ci");
  const npm = ["ci", "--ignore-scripts", "--no-audit", "--no-fund"];
  await runWithRetries("npm ci", "npm", npm, { inOnePiece: true });
}

/** npm writes node_modules/.package-lock.json when it has finished; an interrupted install has none. */
function installedAsLocked() {
  const installed = readStamp(join(FOLDER, ".package-lock.json"))?.packages;
  if (installed === undefined) return false;
  const { packages } = JSON.parse(readFileSync(LOCK_FILE, "utf8"));
  return Object.entries(packages).every(([path, { version, optional }]) => {
    if (path === "") return true;
    if (!existsSync(join(ROOT, path))) return optional === true;
    return installed[path]?.version === version;
  });
}
