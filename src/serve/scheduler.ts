/**
 * Pictures of all requests, in the order in which they came, as batches for one model.
 *
 * A batch takes what waits and never waits itself: when little is asked a picture goes alone, and under load batches fill
 * by themselves. While the model works on one, the pictures of the next are decoded.
 *
 * @module
 */
import type { Metric, Rating } from "../trainer/index.js";
import { Refusal } from "./refusal.js";

/** Batches under way: one at the model, one whose pictures are prepared. */
const WINDOW = 2;
/** Seconds that a client is sent away for, at most. */
const LONGEST_WAIT = 60;

export interface SchedulerOptions {
  readonly score: Metric["score"];
  /** Pictures of a batch, at most. */
  readonly batch: number;
  /**
   * Whether a batch may hold pictures of several requests. Where a picture's place in its request names the draws of its
   * answers, it holds those of one, which are given that place.
   */
  readonly mixed: boolean;
  /** Pictures that may wait. */
  readonly maxWaiting: number;
  readonly onBatch?: (pictures: number) => void;
  /** A batch failed as a whole. @returns what a request fails with that was alone in it */
  readonly explain: (error: unknown) => Error;
  /** Milliseconds from anywhere. Default: the process's clock. */
  readonly now?: () => number;
}

export interface Scheduler {
  /**
   * @param signal takes the pictures that still wait out again; a batch ends early when all of its requests are gone
   * @returns ratings in the order of the pictures
   * @throws Refusal SERVE_BUSY at once when they cannot wait; the signal's reason; what `stop` or `explain` gave
   */
  rate(pictures: readonly Uint8Array[], signal: AbortSignal): Promise<Rating[]>;
  /** @throws Refusal SERVE_BUSY unless so many more pictures may wait */
  makeRoom(pictures: number): void;
  readonly waiting: number;
  /** Pictures in batches under way. */
  readonly running: number;
  /** Ends all that was asked, and all that will be, with this error. */
  stop(error: Error): void;
}

interface Request {
  readonly ratings: Rating[];
  /** Pictures without a rating. */
  open: number;
  ended: boolean;
  /** Was in a batch that failed, and shares none any more. */
  alone: boolean;
  readonly resolve: (ratings: Rating[]) => void;
  readonly reject: (error: Error) => void;
}

interface Job {
  readonly request: Request;
  readonly picture: Uint8Array;
  /** Place in its request. */
  readonly index: number;
}

interface Batch {
  readonly jobs: readonly Job[];
  readonly stop: AbortController;
  ended: boolean;
}

export function createScheduler(options: SchedulerOptions): Scheduler {
  const { batch, mixed, maxWaiting, now = () => performance.now() } = options;
  let waiting: Job[] = [];
  const running: Batch[] = [];
  let stopped: { readonly error: Error } | null = null;
  let secondsPerPicture = 0;
  let lastEnd = -Infinity;

  function makeRoom(pictures: number): void {
    if (waiting.length + pictures <= maxWaiting) return;
    const seconds = Math.ceil((waiting.length + count()) * secondsPerPicture);
    throw new Refusal("SERVE_BUSY", `${waiting.length} pictures wait, and ${maxWaiting} may. Ask again later.`, {
      "Retry-After": String(Math.min(LONGEST_WAIT, Math.max(1, seconds))),
    });
  }

  function count(): number {
    return running.reduce((sum, { jobs, ended }) => sum + (ended ? 0 : jobs.length), 0);
  }

  function finish(request: Request, settle: () => void): void {
    if (request.ended) return;
    request.ended = true;
    waiting = waiting.filter((job) => job.request !== request);
    for (const { jobs, stop } of running) if (jobs.every((job) => job.request.ended)) stop.abort();
    settle();
  }

  function take(): Job[] {
    const { request: first } = waiting[0]!;
    const apart = (one: Request): boolean => one !== first && (!mixed || first.alone || one.alone);
    const other = waiting.findIndex(({ request }) => apart(request));
    return waiting.splice(0, other === -1 ? batch : Math.min(batch, other));
  }

  function pump(): void {
    while (running.length < WINDOW && waiting.length > 0) {
      const next = { jobs: take(), stop: new AbortController(), ended: false };
      running.push(next);
      void run(next);
    }
  }

  async function run(own: Batch): Promise<void> {
    const { jobs, stop } = own;
    const began = now();
    options.onBatch?.(jobs.length);
    try {
      const ratings = options.score(
        jobs.map(({ picture }) => picture),
        { batch: jobs.length, start: jobs[0]!.index, signal: stop.signal },
      );
      let at = 0;
      for await (const rating of ratings) keep(jobs[at++]!, rating);
      measure(jobs.length, began);
    } catch (error) {
      // Nobody waits for a batch that was stopped.
      if (!stop.signal.aborted) fail(jobs, options.explain(error));
    }
    own.ended = true;
    // In order: what a batch has sent to the model is held for it until the one behind the next begins.
    while (running[0]?.ended === true) running.shift();
    pump();
  }

  /** One request must not fail for another's picture: where several were together, each is asked once more by itself. */
  function fail(jobs: readonly Job[], reason: Error): void {
    const open = jobs.filter(({ request, index }) => !request.ended && request.ratings[index] === undefined);
    const requests = new Set(open.map(({ request }) => request));
    if (requests.size > 1) waiting.unshift(...open);
    for (const request of requests) {
      request.alone = true;
      if (requests.size === 1) finish(request, () => request.reject(reason));
    }
  }

  function keep({ request, index }: Job, rating: Rating): void {
    request.ratings[index] = rating;
    request.open -= 1;
    if (request.open === 0) finish(request, () => request.resolve(request.ratings));
  }

  /** Batches overlap, so one counts from where the last one ended. */
  function measure(pictures: number, began: number): void {
    const end = now();
    const seconds = (end - Math.max(began, lastEnd)) / 1000 / pictures;
    lastEnd = end;
    secondsPerPicture = secondsPerPicture === 0 ? seconds : 0.8 * secondsPerPicture + 0.2 * seconds;
  }

  return {
    makeRoom,
    get waiting() {
      return waiting.length;
    },
    get running() {
      return count();
    },
    async rate(pictures, signal) {
      signal.throwIfAborted();
      if (stopped !== null) throw stopped.error;
      if (pictures.length === 0) return [];
      makeRoom(pictures.length);
      return new Promise<Rating[]>((resolve, reject) => {
        const request: Request = { ratings: [], open: pictures.length, ended: false, alone: false, resolve, reject };
        signal.addEventListener("abort", () => finish(request, () => reject(signal.reason as Error)), { once: true });
        waiting.push(...pictures.map((picture, index) => ({ request, picture, index })));
        pump();
      });
    },
    stop(error) {
      stopped ??= { error };
      const open = [...running.flatMap(({ jobs }) => jobs), ...waiting];
      for (const { request } of open) finish(request, () => request.reject(error));
    },
  };
}
