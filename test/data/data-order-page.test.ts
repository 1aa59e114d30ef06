import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, it } from "vitest";
import { parse } from "yaml";
import { lookAtBatches, rowsOfStep } from "../../examples/data-order.js";
import { resolveConfig } from "../../src/config/index.js";
import { makeJsonl, makeRecord } from "./build.js";

const repository = (path: string): string => join(import.meta.dirname, "../..", path);
const page = readFileSync(repository("docs/data-order.md"), "utf8");
const blocks = (language: string): string[] =>
  [...page.matchAll(new RegExp(`^\`\`\`${language}\\n([^]*?)^\`\`\`$`, "gm"))].map(([, text]) => text!);

const folder = mkdtempSync(join(tmpdir(), "thurstone-order-"));
afterAll(() => rmSync(folder, { recursive: true }));
const file = join(folder, "rows.jsonl");
const records = Array.from({ length: 12 }, (_, id) =>
  makeRecord({ id, image: [], dataset_name: id < 8 ? "a" : "b", mos_std: (id * 5) % 12, group: `g${id % 6}` }),
);
writeFileSync(file, makeJsonl(records));

it("shows configurations that are taken as they stand", () => {
  expect(blocks("yaml").length).toBeGreaterThan(3);
  for (const block of blocks("yaml")) {
    expect(resolveConfig({ model_name_or_path: "m", ...(parse(block) as object) }).model_name_or_path).toBe("m");
  }
});

it("shows code of the example, which runs", async () => {
  const example = readFileSync(repository("examples/data-order.ts"), "utf8");
  expect(blocks("ts").length).toBe(2);
  for (const block of blocks("ts")) expect(example).toContain(block);
  const lines = await lookAtBatches(file);
  expect(lines.length).toBe(2);
  expect(lines.join("\n")).toContain(inOrder("b"));
  expect(lines.join("\n")).toContain(inOrder("a"));
  expect(new Set(await rowsOfStep(file, 1)).size).toBe(4);
});

/** The first four rows of a data set by what the example sorts by. */
function inOrder(dataset: string): string {
  return records
    .filter(({ dataset_name }) => dataset_name === dataset)
    .toSorted((a, b) => Number(a["mos_std"]) - Number(b["mos_std"]))
    .slice(0, 4)
    .map(({ id }) => `${dataset} ${String(id)}`)
    .join(", ");
}
