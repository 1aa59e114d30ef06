#!/usr/bin/env node
/** Runs one benchmark: npm run bench -- NAME [arguments]. Without a name lists them. */

import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { main, Problem, ROOT, run } from "./lib/tools.mjs";

const FOLDER = join(ROOT, "bench");

await main(async () => {
  const [name, ...args] = process.argv.slice(2);
  if (name === undefined)
    return process.stdout.write(`npm run bench -- NAME, where NAME is one of: ${names().join(", ")}\n`);
  if (!names().includes(name)) throw new Problem(`there is no benchmark "${name}"; there are: ${names().join(", ")}`);
  process.exitCode = await run(join(ROOT, "node_modules", ".bin", "tsx"), [join(FOLDER, `${name}.ts`), ...args]);
});

function names() {
  if (!existsSync(FOLDER)) return [];
  return readdirSync(FOLDER)
    .filter((file) => file.endsWith(".ts"))
    .map((file) => file.slice(0, -".ts".length))
    .sort();
}
