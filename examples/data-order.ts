/**
 * Batches of rows without a model: what a run would train on, step by step. `npx tsx examples/data-order.ts rows.jsonl`.
 *
 * @module
 */
import { createSampler, indexRows, loadRows } from "thurstone";

/** A line for each batch: which rows of which data set it holds. The hardest rows come last in a pass. */
export async function lookAtBatches(file: string): Promise<string[]> {
  const config = { data_file_paths: [file], prompts_per_step: 4, dataset_weights: "uniform" as const };
  const sampler = createSampler(await loadRows(config), config, {
    curriculum: ({ mosStd = 0 }) => mosStd, // raters who disagree make a hard picture
  });
  const lines: string[] = [];
  for await (const { step, epoch, rows } of sampler) {
    lines.push(`step ${step}, epoch ${epoch}: ${rows.map(({ dataset, id }) => `${dataset} ${id}`).join(", ")}`);
  }
  return lines;
}

/** The rows of a step out of files that do not fit into memory: all are checked once, and only these are kept. */
export async function rowsOfStep(file: string, step: number): Promise<string[]> {
  const config = { data_file_paths: [file], prompts_per_step: 4, batch_groups: "apart" as const };
  const sampler = createSampler(await indexRows(config), config);
  return (await sampler.at(step)).map(({ id }) => id);
}

if (process.argv[1] === import.meta.filename) {
  for (const line of await lookAtBatches(process.argv[2]!)) console.log(line);
}
