#!/usr/bin/env node
/** Runs the Python of the clone's environment with the worker's package on its path: python.mjs -m pytest ... */

import { existsSync } from "node:fs";
import { delimiter, join } from "node:path";
import { pythonOf, stampOf } from "./lib/python-environment.mjs";
import { main, Problem, readStamp, ROOT, run } from "./lib/tools.mjs";

await main(async () => {
  const PYTHONPATH = [join(ROOT, "python_runtime"), process.env.PYTHONPATH].filter(Boolean).join(delimiter);
  process.exitCode = await run(python(), process.argv.slice(2), { env: { ...process.env, PYTHONPATH } });
});

/** The environment stands for the PYTHON_BIN it was made from; another PYTHON_BIN is used as it is. */
function python() {
  const venv = join(ROOT, ".venv");
  const { PYTHON_BIN } = process.env;
  if (PYTHON_BIN && readStamp(stampOf(venv))?.pythonBin !== PYTHON_BIN) return PYTHON_BIN;
  if (existsSync(pythonOf(venv))) return pythonOf(venv);
  throw new Problem("there is no Python environment yet: npm run setup");
}
