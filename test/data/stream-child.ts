/**
 * Draws every batch of a file once and says how many rows there were: `stream-child.ts FILE due|all`.
 *
 * @module
 */
import { createSampler, indexRows, loadRows } from "../../src/data/index.js";

const [file, rows] = process.argv.slice(2);
const config = { data_file_paths: [file!], prompts_per_step: 16, batch_datasets: "mixed" as const };
const source =
  rows === "due" ? createSampler(await indexRows(config), config) : createSampler(await loadRows(config), config);
let drawn = 0;
for await (const batch of source) drawn += batch.rows.length;
process.stdout.write(JSON.stringify({ batches: source.batches, rows: drawn }));
