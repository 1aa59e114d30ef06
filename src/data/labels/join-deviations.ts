/**
 * Deviations from a file that has nothing else, in the order of the file with the scores.
 *
 * @module
 */
import type { DataProblem } from "../problems.js";
import type { ReadFile } from "./read-file.js";
import type { Label } from "./read-row.js";

/** Order is all that ties the two together, so nothing may be wrong in either, and their lengths must agree. */
export function joinDeviations(read: readonly ReadFile[]): {
  readonly labels: readonly Label[];
  readonly problems: readonly DataProblem[];
} {
  const labels = read.flatMap((one) => one.labels);
  const lists = read.filter(({ deviations }) => deviations !== undefined);
  const [list] = lists;
  if (list === undefined) return { labels, problems: [] };
  const values = list.deviations!;
  const wrong = read.some(({ problems }) => problems.length > 0);
  if (lists.length === 1 && !wrong && values.length === labels.length) {
    return { labels: labels.map((label, index) => ({ ...label, std: values[index]! })), problems: [] };
  }
  const found = wrong ? "there are problems in it or in the scores" : `the files have ${labels.length} scores`;
  const message = `has ${values.length} deviations in the order of the scores, and ${found}: it is not known which belongs to which. Correct that, or leave this file out.`;
  return { labels, problems: [{ code: "DATA_TABLE_ROW", file: list.file, line: null, message }] };
}
