/**
 * The handle on a running training: events to iterate over, a result to await, a way to stop.
 *
 * @module
 */
import type { RunResult, StepMetrics, StepValues, TrainerEvent } from "./events.js";

/**
 * A training that has been started. It goes on whether or not anybody looks: iterating only reads, leaving the
 * iteration stops nothing, and a slow reader never holds a step up. Every iteration sees all events from the start.
 */
export interface TrainingRun<Metrics extends StepValues = StepMetrics>
  extends AsyncIterable<TrainerEvent<Metrics>>, AsyncDisposable {
  /** Resolves at the end or after a stop; rejects with the error that ended the run. */
  readonly result: Promise<RunResult<Metrics>>;
  /** Finishes the step under way, saves, and ends the run. Resolves like `result`. */
  stop(): Promise<RunResult<Metrics>>;
}

/** What the training loop sees of its handle. */
export interface RunControl<Metrics extends StepValues = StepMetrics> {
  emit(event: TrainerEvent<Metrics>): void;
  readonly stopRequested: boolean;
}

/** Starts `body` at once and returns the handle on it. */
export function startRun<Metrics extends StepValues = StepMetrics>(
  body: (control: RunControl<Metrics>) => Promise<RunResult<Metrics>>,
): TrainingRun<Metrics> {
  type Event = TrainerEvent<Metrics>;
  const history: Event[] = [];
  const readers = new Set<Reader<Event>>();
  let stopRequested = false;
  let ended = false;

  const control: RunControl<Metrics> = {
    emit(event) {
      if (event.type !== "generate-progress") history.push(event);
      for (const reader of readers) reader.push(event);
    },
    get stopRequested() {
      return stopRequested;
    },
  };
  const result = body(control).finally(() => {
    ended = true;
    for (const reader of readers) reader.wake();
  });
  // The iteration also reports the failure; a caller who only iterates must not get an unhandled rejection on top.
  result.catch(() => undefined);

  async function* iterate(): AsyncGenerator<Event, void, undefined> {
    const reader = createReader(history);
    readers.add(reader);
    try {
      for (;;) {
        const event = reader.shift();
        if (event !== undefined) yield event;
        else if (ended) break;
        else await reader.changed();
      }
      await result;
    } finally {
      readers.delete(reader);
    }
  }

  const stop = (): Promise<RunResult<Metrics>> => {
    stopRequested = true;
    return result;
  };
  return {
    result,
    stop,
    [Symbol.asyncIterator]: iterate,
    async [Symbol.asyncDispose]() {
      await stop().catch(() => undefined);
    },
  };
}

interface Reader<Event> {
  push(event: Event): void;
  shift(): Event | undefined;
  /** Resolves when something was pushed or the run ended. */
  changed(): Promise<void>;
  wake(): void;
}

function createReader<Event extends { readonly type: string }>(past: readonly Event[]): Reader<Event> {
  const unread = [...past];
  let wake = (): void => undefined;
  return {
    push(event) {
      // Progress replaces unread progress: a slow reader must not pile up thousands of events that nobody needs.
      if (event.type === "generate-progress" && unread.at(-1)?.type === "generate-progress") unread.pop();
      unread.push(event);
      wake();
    },
    shift: () => unread.shift(),
    changed: () => new Promise((resolve) => (wake = resolve)),
    wake: () => wake(),
  };
}
