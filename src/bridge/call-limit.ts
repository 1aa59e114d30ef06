/**
 * What may end a call before it is answered: its time, or its caller.
 *
 * @module
 */
import { BridgeError } from "../errors.js";
import type { CallOptions } from "./types.js";

export interface CallLimit {
  /** Aborted with the error the call rejects with; undefined when nothing can end the call. */
  readonly signal: AbortSignal | undefined;
  /** Whole milliseconds left; undefined when the time is not limited. */
  left(): number | undefined;
  /** The error of a call whose time is over, whichever end notices it first; undefined when the time is not limited. */
  late(): BridgeError | undefined;
  /** The call is over. */
  release(): void;
}

/** Longest delay of a timer of Node, 25 days; a longer one would fire at once. */
const LONGEST_TIMER = 2 ** 31 - 1;

const UNLIMITED: CallLimit = {
  signal: undefined,
  left: () => undefined,
  late: () => undefined,
  release: () => undefined,
};

/**
 * Starts the time of a call.
 *
 * @throws BridgeError BRIDGE_CANCELLED when the caller's signal is aborted already, HEADER_FIELD for a timeout that is none
 */
export function limitCall(method: string, { timeout = Infinity, signal }: CallOptions): CallLimit {
  if (!(timeout >= 0)) {
    throw new BridgeError(
      "HEADER_FIELD",
      `the timeout of ${method} is ${timeout}; it must be milliseconds, 0 or more.`,
    );
  }
  if (signal?.aborted) throw cancelled(method, signal);
  const timed = timeout <= LONGEST_TIMER;
  if (!timed && signal === undefined) return UNLIMITED;
  const controller = new AbortController();
  const until = performance.now() + timeout;
  const late = (): BridgeError => tookTooLong(method, timeout);
  const timer = timed ? setTimeout(() => controller.abort(late()), timeout) : undefined;
  const cancel = (): void => controller.abort(cancelled(method, signal!));
  signal?.addEventListener("abort", cancel, { once: true });
  return {
    signal: controller.signal,
    left: () => (timed ? Math.max(0, Math.ceil(until - performance.now())) : undefined),
    late: () => (timed ? late() : undefined),
    release() {
      clearTimeout(timer);
      signal?.removeEventListener("abort", cancel);
    },
  };
}

function tookTooLong(method: string, timeout: number): BridgeError {
  return new BridgeError("BRIDGE_DEADLINE", `${method} took longer than the ${timeout} ms it was given.`, {
    fields: { method, timeout },
  });
}

function cancelled(method: string, signal: AbortSignal): BridgeError {
  const cause: unknown = signal.reason;
  return new BridgeError("BRIDGE_CANCELLED", `${method} was cancelled.`, { cause, fields: { method } });
}
