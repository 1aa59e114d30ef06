/**
 * Recorded metrics and events of a step beside those that come out when it is executed again.
 *
 * @module
 */
import type { LogRecord, MetricsRecord } from "../../runs/index.js";
import { isClose } from "./comparisons.js";
import type { Comparisons } from "./comparisons.js";

/** How the step was executed again. */
export interface LogContext {
  readonly step: number;
  /** The completions were drawn again, and not taken from the record. */
  readonly resampled: boolean;
  /** The run was to log this step. */
  readonly logged: boolean;
  /** For numbers that the model has a part in; null: to the bit. */
  readonly tolerance: number | null;
}

/** What only those metrics say that are made while completions are drawn. */
const OF_SAMPLING = /^(sampling|dynamic_sampling)\//;
/** Numbers that the model has a part in; the others follow from texts and labels, on any machine. */
const OF_THE_MODEL =
  /^(loss|policy_loss|kl|entropy|grad_norm|clip_ratio\/.*|sampling\/.*|entropy_mask\/.*|kl_in_reward\/.*)$/;
/** Events that follow from the steps. */
const EVENTS: readonly unknown[] = ["alarm", "fidelity-warmup-end"];
/** Alarms that say something of the machine. */
const OF_THE_MACHINE: readonly unknown[] = ["model", "memory"];

/** Compares the metrics of a step by name. @param lines of the log about that step, of which there is to be one */
export function compareMetrics(
  lines: readonly MetricsRecord[],
  found: LogRecord,
  { step, resampled, logged, tolerance }: LogContext,
  comparisons: Comparisons,
): void {
  // Programs that read a log take the last line.
  const recorded = lines.at(-1);
  if (recorded === undefined) {
    if (logged) comparisons.compare({ about: "metric", step, what: "the line of metrics", recorded: null, found });
    else comparisons.leaveOut(`Metrics of step ${step}: the run logged none of it (logging_steps).`);
    return;
  }
  comparisons.compare({ about: "record", step, what: "lines of metrics", recorded: lines.length, found: 1 });
  const names = [...new Set([...Object.keys(recorded.values), ...Object.keys(found)])];
  const compared = names.filter((name) => resampled || !OF_SAMPLING.test(name));
  if (compared.length < names.length) {
    comparisons.leaveOut(
      "Metrics of sampling: they are made while completions are drawn, which --resample does again.",
    );
  }
  for (const name of compared) {
    const pair = { recorded: recorded.values[name] ?? null, found: found[name] ?? null };
    const near = tolerance !== null && OF_THE_MODEL.test(name);
    const same = near ? isClose(pair.recorded, pair.found, tolerance) : undefined;
    comparisons.compare({ about: "metric", step, what: `metric ${name}`, ...pair }, same);
  }
}

/** Compares the alarms of a step, and whether a warm-up ended with it. */
export function compareEvents(
  recorded: readonly LogRecord[],
  found: readonly LogRecord[],
  step: number,
  comparisons: Comparisons,
): void {
  const [then, now] = [recorded, found].map((events) =>
    events
      .filter(({ step: at, type, name }) => at === step && EVENTS.includes(type) && !OF_THE_MACHINE.includes(name))
      .map(({ seq: _seq, time: _time, ...event }) => event),
  );
  for (let index = 0; index < Math.max(then!.length, now!.length); index += 1) {
    const [before, after] = [then![index] ?? null, now![index] ?? null];
    const { type, name } = (before ?? after)!;
    const what = typeof name === "string" ? `${String(type)} ${name}` : `event ${String(type)}`;
    comparisons.compare({ about: "event", step, what, recorded: before, found: after });
  }
}
