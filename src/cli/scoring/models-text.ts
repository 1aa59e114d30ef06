/**
 * The models that come with the package, as a table or as JSON.
 *
 * @module
 */
import type { BundledModel } from "../../trainer/index.js";
import { table } from "../table.js";

export function modelsText(models: readonly BundledModel[], json: boolean): string {
  if (json) return JSON.stringify(models, null, 2);
  const rows = models.map(({ name, lowerBetter, scoreRange, maxPixels, description }) => [
    name,
    lowerBetter ? "lower" : "higher",
    scoreRange.join(" to "),
    String(maxPixels),
    description,
  ]);
  return [
    ...table(["model", "better", "scores", "pixels at most", ""], rows),
    "",
    "Besides: the folder of any Qwen2-VL or Qwen2.5-VL checkpoint, and its hub id (owner/name).",
  ].join("\n");
}
