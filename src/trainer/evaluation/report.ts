/**
 * An evaluation as files: the report, every prediction, and a plot per data set. Equal evaluations give equal bytes.
 *
 * @module
 */
import { mkdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { writing } from "../../runs/index.js";
import { canonicalJson } from "./canonical.js";
import type { Evaluation, EvaluationReport } from "./evaluate.js";
import { plotSvg } from "./plot.js";

/** The report without its predictions. */
export function reportOf({ predictions: _predictions, ...report }: Evaluation): EvaluationReport {
  return report;
}

/**
 * Writes `report.json`, `predictions.jsonl` and `plots/<data set>.svg`; files of these names are replaced.
 *
 * @param folder made if it is not there
 * @throws RunError RUN_WRITE_FAILED
 */
export async function writeEvaluation(folder: string, evaluation: Evaluation): Promise<void> {
  const { results, predictions } = evaluation;
  const names = plotNames(results.map(({ dataset }) => dataset));
  await writeText(join(folder, "report.json"), `${canonicalJson(reportOf(evaluation), 2)}\n`);
  await writeText(
    join(folder, "predictions.jsonl"),
    predictions.map((prediction) => `${canonicalJson(prediction)}\n`).join(""),
  );
  for (const [index, result] of results.entries()) {
    const own = predictions.filter(({ dataset }) => dataset === result.dataset);
    await writeText(join(folder, "plots", `${names[index]!}.svg`), plotSvg(result, own));
  }
}

/** Writes a text, and the folders above it. */
export async function writeText(path: string, text: string): Promise<void> {
  await writing("write", path, async () => {
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, text);
  });
}

/** File names that differ even where the data sets' names only differ in characters that no file name should have. */
function plotNames(datasets: readonly string[]): string[] {
  const plain = datasets.map((dataset) => dataset.replaceAll(/[^\p{L}\p{N}._-]+/gu, "_").replace(/^\.+/, "_"));
  return plain.map((name, index) => (plain.indexOf(name) === index ? name : `${name}_${index + 1}`));
}
