/**
 * Runs whose worker meets with a fault, and the same runs gone on with: for the table of `bench/faults.ts` and its tests.
 *
 * @module
 */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { ThurstoneError } from "../../src/errors.js";
import { defineReward, train } from "../../src/index.js";
import type { ConfigInput } from "../../src/index.js";
import type { WorkerNursery } from "./worker-nursery.js";

/** Where a fault can meet a worker, as `faulty_worker.py` knows the place. */
const PLACES = {
  load: { verb: "load", phase: "preparing", units: 0 },
  generate: { verb: "generate", phase: "decode", units: 2 },
  forward: { verb: "forward_backward", phase: "forward", units: 0 },
  step: { verb: "optim_step", phase: "update", units: 0 },
  // In the middle of a file.
  save: { verb: "save", phase: "saving", units: 3 },
} as const;

/** What a worker can be at. */
export type Station = keyof typeof PLACES;

/** What a fault may leave of a run: codes of its error, or that it goes on as if nothing had been. */
export const OUTCOMES = {
  kill: ["WORKER_DIED"],
  freeze: ["WORKER_UNRESPONSIVE"],
  // Among several ranks those that wait for the slow one may notice first.
  slow: ["WORKER_STALLED", "COLLECTIVE_FAILED"],
  clock: ["finished"],
  memory: ["OUT_OF_MEMORY"],
} as const satisfies Record<string, readonly string[]>;

/** See `FAULTS` of `faulty_worker.py`. */
export type FaultKind = keyof typeof OUTCOMES;

/** A fault and when it comes. */
export interface Fault {
  readonly kind: FaultKind;
  readonly at: Station;
  /** At which time the worker is there. Default: at the first save or step behind the checkpoint of step 2. */
  readonly times?: number;
  /** Default 0. */
  readonly rank?: number;
}

/** The faults of the table; of several ranks the second one meets with them. */
export function faultsOf(ranks: number): Fault[] {
  const everywhere = (["kill", "freeze", "slow"] as const).flatMap((kind) =>
    (Object.keys(PLACES) as Station[]).map((at): Fault => ({ kind, at })),
  );
  const more: readonly Fault[] = [
    { kind: "clock", at: "generate" },
    { kind: "memory", at: "forward" },
  ];
  return [...everywhere, ...more].map((fault) => ({ ...fault, rank: ranks > 1 ? 1 : 0 }));
}

/** Seconds that faults are found within. */
export const LIMIT = 2;
/** What a limit may come to; see `runWithFault`. */
const LONGEST = 30;

/** Calls of a run of four steps, with a checkpoint after every second, by the first one behind the first checkpoint. */
const BEHIND_CHECKPOINT: Record<Station, number> = { load: 1, generate: 3, forward: 3, step: 3, save: 2 };

/** Differs from completion to completion, so that every step moves the weights. */
export function variedScore({ tokenIds }: { readonly tokenIds: ArrayLike<number> }): number {
  return tokenIds[0]! / 512 + tokenIds.length / 10;
}

export const variedReward = defineReward({ name: "varied", score: ({ completion }) => variedScore(completion) });

/** What a run came to. */
export interface FaultyRun {
  /** Processes of its workers. */
  readonly workers: readonly number[];
  /** "finished", or the code of the error. */
  readonly outcome: string;
  readonly message: string;
  /** From the fault to the end of the run. */
  readonly seconds: number;
  /** Seconds that it was to be found within. */
  readonly limit: number;
}

/**
 * Runs `train` on real workers, one of which meets with the fault. Where other work keeps an honest worker longer than the
 * limit, before the fault has come, all is done once more with twice the limit.
 *
 * @throws what ended the run otherwise, where the fault had not come yet
 */
export async function runWithFault(nursery: WorkerNursery, config: ConfigInput, fault: Fault): Promise<FaultyRun> {
  for (let limit = LIMIT; ; limit *= 2) {
    const found = await attempt(nursery, config, fault, limit);
    if (found !== null) return found;
  }
}

/** Null where the limit was too short. */
async function attempt(
  nursery: WorkerNursery,
  config: ConfigInput,
  fault: Fault,
  limit: number,
): Promise<FaultyRun | null> {
  const folder = mkdtempSync(join(tmpdir(), "thurstone-fault-"));
  const [mark, workers] = [join(folder, "mark"), join(folder, "workers")];
  const { times = BEHIND_CHECKPOINT[fault.at], rank = 0, kind } = fault;
  const ended = (outcome: string, message: string): FaultyRun => ({
    workers: readFileSync(workers, "utf8").trim().split("\n").map(Number),
    outcome,
    message,
    limit,
    seconds: (Date.now() - statSync(mark).mtimeMs) / 1000,
  });
  try {
    const python_bin = nursery.python({ ...PLACES[fault.at], kind, times, rank, mark }, workers);
    const keys = { ...config, ...limitsFor(fault, limit, config.num_processes ?? 1), python_bin };
    await train(keys, { rewards: { varied: variedReward } }).result;
    if (!existsSync(mark)) throw new Error(`the run finished and met with no ${kind} in ${fault.at}.`);
    return ended("finished", "");
  } catch (error) {
    if (!ThurstoneError.isInstance(error)) throw error;
    if (existsSync(mark)) return ended(error.code, error.message);
    const outcomes: readonly string[] = OUTCOMES[kind];
    if (outcomes.includes(error.code) && limit < LONGEST) return null;
    throw error;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/**
 * Only the limit that is to be found: on a machine with other work an honest worker may come near the others. Of several
 * ranks those that wait for a slow one make no progress either, and must have given up when its time is over.
 */
function limitsFor({ kind }: Fault, limit: number, ranks: number): Partial<ConfigInput> {
  if (kind === "freeze") return { heartbeat_timeout: limit };
  if (kind !== "slow") return {};
  return ranks === 1 ? { worker_timeout: limit } : { rank_timeout: limit, worker_timeout: 2 * limit };
}

/** Milliseconds in which the nursery follows where Node has killed what stood for a worker. */
const FOLLOWS_IN = 5000;

/** Whether all these processes are gone. */
export async function areGone(workers: readonly number[]): Promise<boolean> {
  for (const until = Date.now() + FOLLOWS_IN; Date.now() < until; await setTimeout(20)) {
    if (!workers.some(isThere)) return true;
  }
  return false;
}

function isThere(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ESRCH") return false;
    throw error;
  }
}

/** All of a finished run that must not depend on what happened on the way: digests and logs, by file. */
export function digestsOf(folder: string, steps = 4): Readonly<Record<string, string>> {
  const manifest = JSON.parse(
    readFileSync(join(folder, `checkpoints/step_${String(steps).padStart(6, "0")}/manifest.json`), "utf8"),
  ) as {
    readonly files: readonly { readonly name: string; readonly sha256: string }[];
  };
  const rollouts = readdirSync(join(folder, "rollouts")).sort();
  return Object.fromEntries([
    ...manifest.files.map(({ name, sha256 }) => [name, sha256] as const),
    ...["metrics.jsonl", ...rollouts.map((name) => `rollouts/${name}`)].map(
      (name) => [name, readFileSync(join(folder, name), "utf8")] as const,
    ),
  ]);
}
