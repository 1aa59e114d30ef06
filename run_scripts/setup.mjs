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
  const chains = (await chainsFor(process.argv.slice(2))).map((steps) => steps.filter((step) => !step.isCurrent()));
  // One that fails leaves the others to their end: what they finish is kept.
  const outcomes = await Promise.allSettled(chains.map(runInTurn));
  const failed = outcomes.filter(({ status }) => status === "rejected");
  if (failed.length > 0) throw new AggregateError(failed.map(({ reason }) => reason));
  const found = chains.flat().length === 0;
  say(found ? `everything is in place (${seconds(started)})` : `ready after ${seconds(started)}`);
});

async function runInTurn(steps) {
  for (const step of steps) {
    const began = performance.now();
    await step.run();
    say(`${step.name}: done in ${seconds(began)}`);
  }
}

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

/** Steps by what they wait for: those of a chain need the ones before them, and the chains need nothing of each other. */
async function chainsFor(args) {
  const { pythonOnly, venv } = parse(args);
  const { pythonEnvironment } = await import("./lib/python-environment.mjs");
  if (pythonOnly) return [[pythonEnvironment({ venv, development: false })]];
  const { nodePackages } = await import("./lib/node-packages.mjs");
  const { dist } = await import("./lib/dist.mjs");
  return [[pythonEnvironment({ venv, development: true })], [nodePackages, dist]];
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
