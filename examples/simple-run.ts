/**
 * A whole run with a reward of one's own: events while it goes on, a checkpoint at the end.
 *
 *     npx tsx examples/simple-run.ts CHECKPOINT train.jsonl IMAGES
 *
 * @module
 */
import { fileURLToPath } from "node:url";
import { defineReward, train } from "thurstone";
import type { ConfigInput, RunResult, TrainOptions } from "thurstone";
import { z } from "zod";

/** 1 while the answer stays within 40 tokens plus 8 per point of the picture's score, else 0. */
const brief = defineReward({
  name: "brief",
  row: z.object({ mos: z.number() }),
  score: ({ completion, row }) => (completion.tokenIds.length < 40 + 8 * row.mos ? 1 : 0),
});

/** Trains, and says each step's mean reward and every alarm. */
export async function simpleRun(config: ConfigInput, options: TrainOptions = {}): Promise<RunResult> {
  const run = train(config, {
    rewards: { fidelity: 1, format: 0.5, brief: { reward: brief, weight: 0.2 } },
    ...options,
  });
  for await (const event of run) {
    if (event.type === "step-end") console.log(`step ${event.step} of ${event.steps}: reward ${event.metrics.reward}`);
    if (event.type === "alarm") console.warn(`step ${event.step}: ${event.message}`);
  }
  return run.result;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [model, data, images] = process.argv.slice(2);
  if (model === undefined || data === undefined || images === undefined) {
    throw new Error("Give a checkpoint, a JSONL file and a folder of pictures.");
  }
  const result = await simpleRun({ model_name_or_path: model, data_file_paths: data, image_folders: images });
  console.log(`the model is in ${result.model}`);
}
