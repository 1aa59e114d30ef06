import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { defineReward, train } from "../../src/index.js";
import type { StepMetrics } from "../../src/index.js";
import { createWorkspace } from "./workspace.js";
import type { Workspace } from "./workspace.js";

let workspace: Workspace;
let data: string;
beforeAll(async () => {
  workspace = await createWorkspace();
  data = join(workspace.folder, "mixed.jsonl");
  const line = (id: string, image: readonly string[], question: string, mos: number): string =>
    JSON.stringify({
      id,
      dataset_name: "tiny",
      image,
      group: id.slice(0, 4),
      conversations: [
        { from: "human", value: question },
        { from: "gpt", value: mos },
      ],
    });
  writeFileSync(
    data,
    [
      line("text", [], "Rate the weather.", 2),
      line("pair", ["picture_1.png", "picture_2.png"], "Is <image> better than <image> or not?", 3),
      line("one", ["picture_0.png"], "Rate the picture.", 4),
      line("text-2", [], "Rate the day.", 1),
      line("pair-2", ["picture_3.png", "picture_1.png"], "Rate both.", 5),
      line("one-2", ["picture_4.png"], "Rate the picture.", 2.5),
    ].join("\n"),
  );
});
afterAll(() => workspace.remove());

/** Rates ids, so that there is something to learn. */
const ids = defineReward({ name: "ids", score: ({ completion }) => completion.tokenIds[0]! / 512 });

it("texts, one picture and two train in one batch, ranking rewards and records included", async () => {
  const config = workspace.config("mixed", {
    data_file_paths: [data],
    prompts_per_step: 3,
    max_steps: 2,
    batch_groups: "apart",
    dataset_streaming: true,
  });
  const run = train(config, { rewards: { fidelity: 1, format: 1, ids } });
  const steps: StepMetrics[] = [];
  for await (const event of run) if (event.type === "step-end") steps.push(event.metrics);
  await run.result;

  expect(steps.length).toBe(2);
  for (const metrics of steps) {
    // Random weights write no scores, so that no pair can be compared: counted, not a failure.
    expect(metrics["rewards/fidelity/missing"]).toBe(12);
    expect(metrics["parse/failed_ratio"]).toBe(1);
    expect(metrics.grad_norm).toBeGreaterThan(0);
    expect(metrics.loss).toSatisfy(Number.isFinite);
  }
  const records = [1, 2].flatMap((step) =>
    readFileSync(join(config.output_dir!, `rollouts/step_00000${step}.jsonl`), "utf8")
      .trimEnd()
      .split("\n")
      .map((record) => JSON.parse(record) as { readonly row: string; readonly images: readonly string[] }),
  );
  expect(records.length).toBe(2 * 3 * 4);
  const pictures = new Map(records.map(({ row, images }) => [row, images.length]));
  expect(Object.fromEntries([...pictures].toSorted(([a], [b]) => (a < b ? -1 : 1)))).toEqual({
    one: 1,
    "one-2": 1,
    pair: 2,
    "pair-2": 2,
    text: 0,
    "text-2": 0,
  });
  // Every picture that a record names is kept for people to look at, each once.
  const shown = new Set(records.flatMap(({ images }) => images));
  expect(shown.size).toBe(5);
  expect(readdirSync(join(config.output_dir!, "images")).length).toBe(5);
});
