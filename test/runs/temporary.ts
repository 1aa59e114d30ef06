/**
 * What the tests of the run folder share: a folder that goes away, a clock that ticks, a process that can be killed.
 *
 * @module
 */

import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterEach } from "vitest";

const made: string[] = [];

afterEach(() => {
  for (const folder of made.splice(0)) rmSync(folder, { recursive: true, force: true });
});

/** A new folder, deleted after the test. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "thurstone-"));
  made.push(folder);
  return folder;
}

/** One second later at each look. */
export function tickingClock(): () => Date {
  let seconds = Date.UTC(2026, 0, 1) / 1000;
  return () => new Date((seconds += 1) * 1000);
}

/** Runs TypeScript in a process of its own, with the runs module in scope as `runs`. */
export function inChild(
  body: string,
  shellPrefix = "",
): { status: number | null; signal: string | null; output: string } {
  const folder = temporaryFolder();
  const script = join(folder, "child.mts");
  const runs = pathToFileURL(join(import.meta.dirname, "../../src/runs/index.ts")).href;
  writeFileSync(script, `import * as runs from ${JSON.stringify(runs)};\n${body}\n`);
  const tsx = join(import.meta.dirname, "../../node_modules/tsx/dist/loader.mjs");
  const command = `${shellPrefix} exec "${process.execPath}" --import "${pathToFileURL(tsx).href}" "${script}"`;
  const { status, signal, stdout, stderr } = spawnSync("sh", ["-c", command], { encoding: "utf8" });
  return { status, signal, output: `${stdout}${stderr}` };
}
