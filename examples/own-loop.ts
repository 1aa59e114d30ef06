/**
 * A training loop of one's own: the stations of a GRPO step, one call each.
 *
 *     npx tsx examples/own-loop.ts CHECKPOINT train.jsonl IMAGES
 *
 * @module
 */
import {
  createSampler,
  defineConfig,
  groupAdvantages,
  loadRows,
  openPolicy,
  schedules,
  scoreRewards,
  toTrainBatch,
} from "thurstone";

const [model, data, images] = process.argv.slice(2);
if (model === undefined || data === undefined || images === undefined) {
  throw new Error("Give a checkpoint, a JSONL file and a folder of pictures.");
}
const config = defineConfig({ model_name_or_path: model, data_file_paths: data, image_folders: images });
const rewards = { fidelity: 1, format: 0.5 };

const interrupted = new AbortController();
process.once("SIGINT", () => interrupted.abort());
const { signal } = interrupted;

const sampler = createSampler(await loadRows(config), config);
const schedule = schedules.linear({ learningRate: 1e-6, totalSteps: sampler.batches });

await using policy = await openPolicy(config);
for await (const { step, rows } of sampler) {
  const prompts = await policy.encode(rows);
  const groups = await policy.generate(prompts, { samples: 6, step, signal });
  const scored = await scoreRewards(groups, rewards, { signal });
  const advantages = groupAdvantages(scored.totals, { scale: "group" });
  await policy.forwardBackward(
    toTrainBatch(groups, advantages, { normaliser: "grpo" }),
    { surrogate: "clip", epsilon: 0.2, beta: 0.04 },
    { signal },
  );
  const { gradNorm } = await policy.optimStep({ step, learningRate: schedule(step) });
  console.log(`step ${step} of ${sampler.batches}: gradient norm ${gradNorm.toFixed(3)}`);
}
await policy.export("out/last");
