/**
 * The workers of one model, a rank each: started together, stopped together, and none outlives another.
 *
 * @module
 */
import { join } from "node:path";
import { createPrivateFolder } from "./private-folder.js";
import type { Caller } from "./types.js";
import { startWorker } from "./worker-process.js";
import type { StartWorkerOptions, StopOptions, WorkerProcess } from "./worker-process.js";

/** Options of `startWorkers`: those of one worker, and how many there are to be. */
export interface StartWorkersOptions extends Omit<StartWorkerOptions, "rank" | "worldSize" | "onFailure"> {
  readonly worldSize: number;
}

/** Running workers. Dispose the group, or stop it. */
export interface WorkerGroup extends AsyncDisposable {
  /** By rank. */
  readonly workers: readonly WorkerProcess[];
  readonly callers: readonly Caller[];
  /** Path of a file that does not exist yet, at which the ranks may meet; only this user can reach it. */
  readonly rendezvous: string;
  stop(options?: StopOptions): Promise<void>;
}

/**
 * Starts the workers, all at once, and waits until every one has greeted. Nothing is left behind when one fails.
 *
 * A worker that dies, falls silent or stalls takes the others with it: what they share is gone, and calls to any of them
 * reject with what happened to the first.
 *
 * @throws what `startWorker` throws
 */
export async function startWorkers({ worldSize, ...options }: StartWorkersOptions): Promise<WorkerGroup> {
  const folder = await createPrivateFolder();
  const workers: WorkerProcess[] = [];
  const starting = Array.from({ length: worldSize }, async (_, rank) => {
    const worker = await startWorker({
      ...options,
      rank,
      worldSize,
      env: { ...rankEnvironment(rank, worldSize), ...options.env },
      onFailure: (error) => {
        for (const other of workers) if (other !== worker) other.kill(error);
      },
    });
    workers.push(worker);
    return worker;
  });
  const outcomes = await Promise.allSettled(starting);
  const failure = outcomes.find((outcome) => outcome.status === "rejected");
  const stop = async (stopOptions?: StopOptions): Promise<void> => {
    await Promise.all(workers.map((worker) => worker.stop(stopOptions)));
    await folder.remove();
  };
  if (failure !== undefined) {
    await stop();
    throw failure.reason;
  }
  const byRank = await Promise.all(starting);
  return {
    workers: byRank,
    callers: byRank.map((worker) => worker.caller),
    rendezvous: join(folder.path, "rendezvous"),
    stop,
    [Symbol.asyncDispose]: () => stop(),
  };
}

/** What torch and its libraries read; on one host its collectives need no other way than the loopback. */
function rankEnvironment(rank: number, worldSize: number): Record<string, string> {
  if (worldSize === 1) return {};
  return {
    RANK: String(rank),
    LOCAL_RANK: String(rank),
    WORLD_SIZE: String(worldSize),
    ...(process.platform === "linux" && { GLOO_SOCKET_IFNAME: "lo" }),
  };
}
