/**
 * The memory plan against a real worker: one process, a whole step. `npm run bench -- memory` measures more of them.
 *
 * @module
 */
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import { measuredMemory, plannedMemory, smallTask } from "../../bench/support/memory-peak.js";

it("tells tensors to a tenth, stage by stage, and the process to a quarter", { timeout: 120_000 }, async () => {
  const part = smallTask(fileURLToPath(new URL("../../assets/part", import.meta.url)));
  const task = { ...part, prompts: 4, samples: 2, completionTokens: 8 };
  const [planned, measured] = await Promise.all([plannedMemory(task), measuredMemory(task)]);
  for (const stage of ["generate", "train", "update"] as const) {
    expect(Math.abs(planned.tensors[stage] / measured.tensors[stage] - 1)).toBeLessThan(0.1);
  }
  expect(Math.abs(planned.process / measured.process - 1)).toBeLessThan(0.25);
});
