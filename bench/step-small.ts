/**
 * A step of the quickstart's model on one thread, phase by phase: all groups at once, and the same verbs group by group.
 *
 *     npm run bench -- step-small [--json]
 *
 * 24 prompts of 27 tokens with one picture, 6 completions of 12 tokens, KL against a reference; pictures were seen
 * before. CPU seconds, the best of five rounds. Exits with status 1 when the limit of the last column is missed.
 *
 * @module
 */
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { z } from "zod";
import { findPython } from "../src/python/index.js";

/** Largest sum of the phases of a step, in CPU seconds. */
const STEP_LIMIT = 0.4;

const PHASES = ["sampling", "reference", "forward and backward", "update"] as const;
const REPORT = z.record(z.enum(["trained", "frozen"]), z.record(z.string(), z.number()));

type Seconds = Readonly<Record<string, number>>;

/** What the step takes when its groups go together, or one by one; sampling and update know no difference. */
function secondsOf(phase: string, seconds: Seconds, way: "at once" | "group by group"): number {
  return seconds[`${phase}, ${way}`] ?? seconds[phase]!;
}

function stepOf(seconds: Seconds, way: "at once" | "group by group"): number {
  return PHASES.reduce((total, phase) => total + secondsOf(phase, seconds, way), 0);
}

function linesOf(tower: string, seconds: Seconds): string[][] {
  const line = (name: string, alone: number, together: number, limit: string): string[] => [
    `${tower} tower: ${name}`,
    `${alone.toFixed(3)} s`,
    `${together.toFixed(3)} s`,
    (alone / together).toFixed(2),
    limit,
  ];
  const step = stepOf(seconds, "at once");
  return [
    ...PHASES.map((phase) =>
      line(phase, secondsOf(phase, seconds, "group by group"), secondsOf(phase, seconds, "at once"), ""),
    ),
    line(
      "step",
      stepOf(seconds, "group by group"),
      step,
      `<= ${STEP_LIMIT} s: ${step <= STEP_LIMIT ? "met" : "MISSED"}`,
    ),
  ];
}

const { values } = parseArgs({ options: { json: { type: "boolean", default: false } } });
const { python, pythonPath } = findPython();
const folder = mkdtempSync(join(tmpdir(), "thurstone-step-small-"));
try {
  const text = execFileSync(python, [fileURLToPath(new URL("support/step_small.py", import.meta.url)), folder], {
    env: { ...process.env, PYTHONPATH: pythonPath },
    encoding: "utf8",
    stdio: ["ignore", "pipe", "inherit"],
  });
  const report = REPORT.parse(JSON.parse(text));
  const table = [
    ["", "group by group", "at once", "ratio", "limit"],
    ...Object.entries(report).flatMap(([tower, seconds]) => linesOf(tower, seconds)),
  ];
  const widths = table[0]!.map((_, column) => Math.max(...table.map((line) => line[column]!.length)));
  const lines = table.map((line) => line.map((cell, column) => cell.padStart(widths[column]!)).join("  "));
  process.stdout.write(values.json ? `${JSON.stringify(report, undefined, 2)}\n` : `${lines.join("\n")}\n`);
  process.exitCode = Object.values(report).every((seconds) => stepOf(seconds, "at once") <= STEP_LIMIT) ? 0 : 1;
} finally {
  rmSync(folder, { recursive: true });
}
