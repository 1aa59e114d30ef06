/**
 * A run folder in memory: what a step that is executed again would have written.
 *
 * @module
 */
import { linesOfStep } from "../../runs/index.js";
import type { LogRecord, RunEventRecord, RunWriter } from "../../runs/index.js";

/** What was written, as it would be read from the files. */
export interface Written {
  /** Lines by the step that they belong to. */
  readonly rollouts: ReadonlyMap<number, readonly LogRecord[]>;
  readonly metrics: ReadonlyMap<number, LogRecord>;
  readonly events: readonly LogRecord[];
}

/** @param folder what the writer calls its folder; nothing is written there */
export function createMemoryWriter(folder: string): { readonly writer: RunWriter; readonly written: Written } {
  const rollouts = new Map<number, LogRecord[]>();
  const metrics = new Map<number, LogRecord>();
  const events: LogRecord[] = [];
  const nothing = async (): Promise<void> => undefined;
  const writer: RunWriter = {
    folder,
    superseded: [],
    event: (event: RunEventRecord) => void events.push(asRead(event)),
    metrics: (step, values) => void metrics.set(step, asRead(values)),
    timings: () => undefined,
    rollouts: (step, records) => void rollouts.set(step, linesOfStep("rollout", step, records).map(asRead)),
    evaluation: () => undefined,
    image: nothing,
    sync: nothing,
    close: nothing,
    [Symbol.asyncDispose]: nothing,
  };
  return { writer, written: { rollouts, metrics, events } };
}

/** A line is a text: what it loses there it must lose here. */
function asRead(record: LogRecord): LogRecord {
  return JSON.parse(JSON.stringify(record)) as LogRecord;
}
