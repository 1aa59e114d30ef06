/**
 * Watches the heartbeats of a worker: is the process scheduled at all, and does its work move?
 *
 * @module
 */
import { WorkerError } from "../errors.js";
import type { PlainMap } from "./types.js";

export interface Heartbeat {
  /** Counts every step of work. */
  readonly progress: number;
  /** Milliseconds since the counter moved. */
  readonly progressAge: number;
  /** What the worker is at, in a word, and the method under way; null when idle. */
  readonly phase: string;
  readonly method: string | null;
  /** Resident bytes. */
  readonly rss: number;
}

export interface HeartbeatWatchOptions {
  /** How messages call the worker. */
  readonly who: string;
  readonly intervalMs: number;
  /** Milliseconds without a heartbeat after which the worker counts as frozen. */
  readonly silenceMs: number;
  /** Milliseconds that this method may go without progress. */
  readonly stallMs: (method: string) => number;
  readonly onFailure: (error: WorkerError) => void;
}

export interface HeartbeatWatch {
  receive(params: PlainMap): void;
  readonly last: Heartbeat | undefined;
  stop(): void;
}

/** Looks at every interval until it has found a failure, or is stopped. */
export function watchHeartbeat(options: HeartbeatWatchOptions): HeartbeatWatch {
  const { who, intervalMs, silenceMs, stallMs, onFailure } = options;
  let last: Heartbeat | undefined;
  let seen = performance.now();
  let looked = performance.now();

  const timer = setInterval(() => {
    const now = performance.now();
    // If this process itself was held up, the worker gets the time back.
    seen += Math.max(0, now - looked - 2 * intervalMs);
    looked = now;
    const silence = now - seen;
    const failure =
      silence > silenceMs
        ? unresponsive(who, silence, last)
        : last?.method != null && last.progressAge > stallMs(last.method)
          ? stalled(who, last)
          : undefined;
    if (failure === undefined) return;
    clearInterval(timer);
    onFailure(failure);
  }, intervalMs);
  timer.unref();

  return {
    receive(params) {
      seen = performance.now();
      last = {
        progress: Number(params["progress"]),
        progressAge: Number(params["progress_age_ms"]),
        phase: textOr("unknown", params["phase"]),
        method: textOr(null, params["method"]),
        rss: Number(params["rss"]),
      };
    },
    get last() {
      return last;
    },
    stop: () => clearInterval(timer),
  };
}

function textOr<Other>(other: Other, value: unknown): string | Other {
  return typeof value === "string" ? value : other;
}

function unresponsive(who: string, silence: number, last: Heartbeat | undefined): WorkerError {
  const doing = last?.method == null ? "while idle" : `during ${last.method} (${last.phase})`;
  return new WorkerError(
    "WORKER_UNRESPONSIVE",
    `${who} has sent no heartbeat for ${(silence / 1000).toFixed(1)} s ${doing}: it is frozen or starved of memory or CPU. It was stopped.`,
    { fields: { method: last?.method ?? null, phase: last?.phase ?? null } },
  );
}

function stalled(who: string, last: Heartbeat): WorkerError {
  return new WorkerError(
    "WORKER_STALLED",
    `${who} made no progress in ${last.method} (${last.phase}) for ${(last.progressAge / 1000).toFixed(1)} s. It was stopped; allow it more time without progress if its single steps really take that long.`,
    { fields: { method: last.method, phase: last.phase } },
  );
}
