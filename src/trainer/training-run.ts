/**
 * The handle on a running training: events to iterate over, a result to await, a way to stop.
 *
 * @module
 */
import { RunError } from "../errors.js";
import type { RunResult, StepMetrics, StepValues, TrainerEvent } from "./events.js";

/**
 * A training that has been started. It goes on whether or not anybody looks: iterating only reads, leaving the
 * iteration stops nothing, and a slow reader never holds a step up. An iteration sees all events from its beginning, and up to
 * a thousand from before; `events.jsonl` of the run folder has what a long run has to tell.
 */
export interface TrainingRun<Metrics extends StepValues = StepMetrics>
  extends AsyncIterable<TrainerEvent<Metrics>>, AsyncDisposable {
  /** Resolves at the end or after a stop; rejects with the error that ended the run. */
  readonly result: Promise<RunResult<Metrics>>;
  /**
   * Finishes the step under way, saves, and ends the run; while workers are waited for or the model is loaded, gives that up.
   * Resolves like `result`.
   */
  stop(options?: StopRunOptions): Promise<RunResult<Metrics>>;
}

/** How a run is stopped. */
export interface StopRunOptions {
  /**
   * Seconds that there are. A step, or an evaluation, that is not over in half of them is given up as if it had not begun, so
   * that there is time to save what came before it; and no model is exported. Default: as long as it takes.
   */
  readonly withinSeconds?: number;
}

/** What the training loop sees of its handle. */
export interface RunControl<Metrics extends StepValues = StepMetrics> {
  emit(event: TrainerEvent<Metrics>): void;
  /** Aborts when the run is asked to stop. */
  readonly stopping: AbortSignal;
  /** Whether little time was given: nothing is to be done any more but to save. */
  readonly hurried: boolean;
  /** Aborts when the step under way is to be given up. */
  readonly givenUp: AbortSignal;
}

/** Events kept for iterations that have not begun: without an end to it, a long run would grow by all that it ever said. */
const KEPT = 1000;

/** Starts `body` at once and returns the handle on it. */
export function startRun<Metrics extends StepValues = StepMetrics>(
  body: (control: RunControl<Metrics>) => Promise<RunResult<Metrics>>,
): TrainingRun<Metrics> {
  type Event = TrainerEvent<Metrics>;
  const history: Event[] = [];
  const readers = new Set<Reader<Event>>();
  const giveUp = new AbortController();
  const stopping = new AbortController();
  let timer: NodeJS.Timeout | undefined;
  let ended = false;

  const control: RunControl<Metrics> = {
    emit(event) {
      if (event.type !== "generate-progress") history.push(event);
      if (history.length > KEPT) history.shift();
      for (const reader of readers) reader.push(event);
    },
    stopping: stopping.signal,
    get hurried() {
      return timer !== undefined;
    },
    givenUp: giveUp.signal,
  };
  const result = body(control).finally(() => {
    ended = true;
    clearTimeout(timer);
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

  const stop = ({ withinSeconds }: StopRunOptions = {}): Promise<RunResult<Metrics>> => {
    stopping.abort(new RunError("RUN_INTERRUPTED", "the run was stopped before its model was loaded."));
    if (withinSeconds !== undefined && timer === undefined && !ended) {
      const reason = new RunError(
        "RUN_INTERRUPTED",
        `the step under way took longer than there was time for (${withinSeconds} s in all), and was given up.`,
      );
      timer = setTimeout(() => giveUp.abort(reason), withinSeconds * 500).unref();
    }
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
