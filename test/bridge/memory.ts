/** Resident memory that is really held: what waits for a garbage collection is collected, and the least of many readings counts. */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import type { Heartbeat, WorkerProcess } from "../../src/bridge/index.js";

const READINGS = 10;

setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc") as () => void;

/** Bytes of this process. */
export async function leastOwnMemory(): Promise<number> {
  let least = Infinity;
  for (let reading = 0; reading < READINGS; reading += 1) {
    collect();
    // Memory outside the heap is given back by finalizers, which run in a later turn of the event loop.
    await new Promise((done) => setTimeout(done, 10));
    least = Math.min(least, process.memoryUsage.rss());
  }
  return least;
}

/** Bytes of a worker, as its next heartbeats tell. */
export async function leastMemoryOf(worker: WorkerProcess): Promise<number> {
  let least = Infinity;
  let seen: Heartbeat | undefined = worker.heartbeat;
  for (let reading = 0; reading < READINGS;) {
    await new Promise((done) => setTimeout(done, 10));
    if (worker.heartbeat === seen) continue;
    seen = worker.heartbeat!;
    least = Math.min(least, seen.rss);
    reading += 1;
  }
  return least;
}
