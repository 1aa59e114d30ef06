/**
 * The memory plan beside what real workers need on this machine's CPU; with --table, the plan of the released models.
 *
 *     npm run bench -- memory [--json]
 *     npm run bench -- memory --table
 *
 * Every row is a worker process that trains steps of one kind. Tensors are held to 10 % of what torch counts, stage by stage,
 * and the process to 25 % of its peak. Exits with status 1 when a limit is missed. Linux only. docs/memory.md explains it.
 *
 * @module
 */
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { table } from "../src/cli/table.js";
import { findPython } from "../src/python/index.js";
import { measuredMemory, plannedMemory, smallTask } from "./support/memory-peak.js";
import type { MemoryMeasurement, MemoryTask } from "./support/memory-peak.js";
import { publishedTable, waysTable } from "./support/memory-table.js";

/** Largest deviation from what is measured. */
const LIMITS = { tensors: 0.1, process: 0.25 };

const { values } = parseArgs({
  options: { table: { type: "boolean", default: false }, json: { type: "boolean", default: false } },
});

function checkpoint(folder: string, vocabulary: "small" | "full"): string {
  const { python, pythonPath } = findPython();
  const model = join(folder, vocabulary);
  const args = ["-m", "thurstone_runtime.make_checkpoint", model, "--preset", "mid", "--vocab", vocabulary];
  execFileSync(python, args, { env: { ...process.env, PYTHONPATH: pythonPath }, stdio: "ignore" });
  return model;
}

function tasksOf(folder: string): readonly (readonly [string, MemoryTask])[] {
  const part = smallTask("assets/part");
  const large = { prompts: 4, side: [252, 336], completionTokens: 64 } as const;
  const mid = { ...smallTask(checkpoint(folder, "small")), ...large };
  const full = { ...smallTask(checkpoint(folder, "full")), ...large };
  return [
    ["part", part],
    ["part, one pass, T .7", { ...part, passes: 1, temperature: 0.7 }],
    ["part, frozen tower", { ...part, freezeVision: true }],
    ["part, checkpointing", { ...part, gradientCheckpointing: true }],
    ["part, LoRA", { ...part, loraRank: 16 }],
    ["part, bfloat16", { ...part, precision: "bfloat16" }],
    ["mid", mid],
    ["mid, LoRA", { ...mid, loraRank: 16 }],
    ["mid, LoRA, checkpointing", { ...mid, loraRank: 16, gradientCheckpointing: true }],
    ["mid, 8-bit AdamW", { ...mid, optimizer: "adamw_bnb_8bit" }],
    ["mid, checkpointing", { ...mid, gradientCheckpointing: true }],
    ["mid, full vocabulary", full],
  ];
}

const off = (planned: number, measured: number): number => planned / measured - 1;
const mib = (bytes: number): string => (bytes / 2 ** 20).toFixed(0);

interface Row {
  readonly name: string;
  readonly planned: MemoryMeasurement;
  readonly measured: MemoryMeasurement;
}

function isMet({ planned, measured }: Row): boolean {
  const peak = ({ tensors }: MemoryMeasurement): number => Math.max(...Object.values(tensors));
  return (
    Math.abs(off(peak(planned), peak(measured))) <= LIMITS.tensors &&
    Math.abs(off(planned.process, measured.process)) <= LIMITS.process
  );
}

function line(row: Row): string[] {
  const { name, planned, measured } = row;
  const pair = (ours: number, real: number): string => `${mib(ours)} / ${mib(real)} = ${(ours / real).toFixed(2)}`;
  const stages = (["generate", "train", "update"] as const).map((stage) =>
    pair(planned.tensors[stage], measured.tensors[stage]),
  );
  return [name, ...stages, pair(planned.process, measured.process), isMet(row) ? "met" : "MISSED"];
}

if (values.table) {
  const { header, rows } = publishedTable();
  const ways = waysTable();
  process.stdout.write(`${[...table(ways.header, ways.rows), "", ...table(header, rows)].join("\n")}\n`);
} else {
  const folder = mkdtempSync(join(tmpdir(), "thurstone-memory-"));
  try {
    const rows: Row[] = [];
    for (const [name, task] of tasksOf(folder)) {
      process.stderr.write(`memory  ${name}\n`);
      rows.push({ name, planned: await plannedMemory(task), measured: await measuredMemory(task) });
    }
    const header = ["MiB, planned / measured", "generate", "train", "update", "process", "limits"];
    process.stdout.write(`${(values.json ? [JSON.stringify(rows)] : table(header, rows.map(line))).join("\n")}\n`);
    process.exitCode = rows.every(isMet) ? 0 : 1;
  } finally {
    rmSync(folder, { recursive: true });
  }
}
