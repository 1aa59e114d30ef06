/**
 * The model that a run left in `model/`, as its log speaks of it and as it lies there.
 *
 * @module
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { RUN_FILES } from "../../runs/index.js";
import type { LogRecord } from "../../runs/index.js";
import type { Comparisons } from "./comparisons.js";

/** What is known of the exported model before a step is executed. */
export interface ExportedModel {
  readonly folder: string;
  readonly present: boolean;
  /** Step of its weights: the last one, or the best one with `load_best_model_at_end`. Null where the log does not say. */
  readonly step: number | null;
}

/**
 * Looks at the folder, which must be there where the log says that it was written.
 *
 * @param events of the run's log
 */
export function exportedModel(
  runFolder: string,
  events: readonly LogRecord[],
  comparisons: Pick<Comparisons, "compare">,
): ExportedModel {
  const folder = join(runFolder, RUN_FILES.model);
  const present = existsSync(folder);
  // Where a run went on after an end and did not come to the next, model/ may be of that end, or of one that was taken back.
  const start = events.findLastIndex(({ type }) => type === "run-start");
  const end = events.findLast(({ type, model }) => type === "run-end" && typeof model === "string");
  if (end === undefined || events.indexOf(end) < start) return { folder, present, step: null };
  const what = "model/, which the run exported when it ended";
  comparisons.compare({ about: "event", step: null, what, recorded: "model/", found: present ? "model/" : null });
  const step = end["modelStep"];
  return { folder, present, step: typeof step === "number" ? step : null };
}

/**
 * Says why the exported model was not compared, where it was not.
 *
 * @param executed steps after which there were weights to compare it with
 */
export function leaveOutModel(
  { present, step }: ExportedModel,
  executed: ReadonlySet<number>,
  comparisons: Pick<Comparisons, "leaveOut">,
): void {
  if (!present) return comparisons.leaveOut("The exported model: there is no folder model/.");
  if (step === null) return comparisons.leaveOut("The exported model: the log does not say of which step model/ is.");
  if (executed.has(step)) return;
  comparisons.leaveOut(
    `The exported model: it is of step ${step}, which was not executed; verifying that step compares it.`,
  );
}
