/**
 * Ctrl-C, and a reader who has gone, as a signal.
 *
 * @module
 */

import { BridgeError } from "../../errors.js";

/**
 * Runs with a signal that Ctrl-C aborts; a second Ctrl-C ends the process.
 *
 * @param closed aborts the signal as well
 */
export async function untilInterrupted<T>(run: (signal: AbortSignal) => Promise<T>, closed?: AbortSignal): Promise<T> {
  const stop = new AbortController();
  const signal = closed === undefined ? stop.signal : AbortSignal.any([stop.signal, closed]);
  // What gives up rejects with this, as it is.
  const interrupt = (): void => stop.abort(new BridgeError("BRIDGE_CANCELLED", "stopped before it was done."));
  process.once("SIGINT", interrupt);
  process.once("SIGTERM", interrupt);
  try {
    return await run(signal);
  } finally {
    process.off("SIGINT", interrupt);
    process.off("SIGTERM", interrupt);
  }
}
