#!/usr/bin/env node
/**
 * Makes a fresh clone ready to run: npm packages, a Python environment, dist/. Does only what is missing, and may be
 * interrupted and started again at any point.
 *
 *   node run_scripts/setup.mjs                            everything, with .venv in the clone
 *   node run_scripts/setup.mjs --python-only --venv DIR   only the Python side, without the development tools
 *
 * PYTHON_BIN names the Python to use instead of the first python3.12 ... python on PATH.
 */

import { join, resolve } from "node:path";
import { main, Problem, ROOT, say, seconds } from "./lib/tools.mjs";

await main(async () => {
  const started = performance.now();
  checkNode();
  const steps = await stepsFor(process.argv.slice(2));
  const missing = steps.filter((step) => !step.isCurrent());
  for (const step of missing) {
    const began = performance.now();
    await step.run();
    say(`${step.name}: done in ${seconds(began)}`);
  }
  say(missing.length === 0 ? `everything is in place (${seconds(started)})` : `ready after ${seconds(started)}`);
});

function checkNode() {
  const [major, minor] = process.versions.node.split(".").map(Number);
  if (major < 20 || (major === 20 && minor < 19)) {
    throw new Problem(
      `Node 20.19 or later is needed, this is ${process.version}. Get it from https://nodejs.org or with nvm.`,
    );
  }
  if (process.platform === "win32") {
    throw new Problem("thurstone talks to its workers over Unix sockets. On Windows run it inside WSL 2.");
  }
}

async function stepsFor(args) {
  const { pythonOnly, venv } = parse(args);
  const { pythonEnvironment } = await import("./lib/python-environment.mjs");
  if (pythonOnly) return [pythonEnvironment({ venv, development: false })];
  const { nodePackages } = await import("./lib/node-packages.mjs");
  const { dist } = await import("./lib/dist.mjs");
  return [nodePackages, pythonEnvironment({ venv, development: true }), dist];
}

function parse(args) {
  const options = { pythonOnly: false, venv: join(ROOT, ".venv") };
  const rest = [...args];
  while (rest.length > 0) {
    const flag = rest.shift();
    if (flag === "--python-only") options.pythonOnly = true;
    else if (flag === "--venv" && rest.length > 0) options.venv = resolve(rest.shift());
    else throw new Problem(`unknown argument "${flag}". Usage: setup.mjs [--python-only] [--venv DIR]`);
  }
  return options;
}
