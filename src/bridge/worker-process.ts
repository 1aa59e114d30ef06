/**
 * Starts a worker process, supervises it, and ends it: the worker's whole life as its parent sees it.
 *
 * @module
 */
import { randomBytes, randomUUID } from "node:crypto";
import { BridgeError, WorkerError } from "../errors.js";
import type { ThurstoneError } from "../errors.js";
import { startChild } from "./child-process.js";
import type { Child } from "./child-process.js";
import { encodeMessage } from "./codec.js";
import type { Hello } from "./handshake.js";
import { watchHeartbeat } from "./heartbeat.js";
import type { Heartbeat } from "./heartbeat.js";
import { createPeer } from "./peer.js";
import type { Peer, PeerStatistics } from "./peer.js";
import type { Caller } from "./types.js";
import { createWorkerLog } from "./worker-log.js";
import type { WorkerLog } from "./worker-log.js";
import { openWorkerSockets } from "./worker-sockets.js";
import type { WorkerSockets } from "./worker-sockets.js";

export interface StartWorkerOptions {
  /** Path or command of the interpreter. */
  readonly python: string;
  /** Default ["-m", "thurstone_runtime"]. */
  readonly args?: readonly string[];
  /** Added to this process's environment. */
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  /** Default 0 of 1. */
  readonly rank?: number;
  readonly worldSize?: number;
  /** Milliseconds until both sockets must have been greeted. Default 60,000. */
  readonly startTimeout?: number;
  /** Milliseconds between heartbeats. Default 500. */
  readonly heartbeatInterval?: number;
  /** Milliseconds without a heartbeat until the worker counts as frozen. Default 30,000. */
  readonly silenceTimeout?: number;
  /** Milliseconds a method may go without progress. Default 600,000. */
  readonly stallTimeout?: number;
  /** The same by method, where it differs. */
  readonly stallTimeouts?: Readonly<Record<string, number>>;
  /** Largest message either way in bytes. Default 2 GiB - 1. */
  readonly maxMessageBytes?: number;
  /** Every line the worker writes to stdout or stderr. */
  readonly onStderr?: (line: string) => void;
  /** Called when the worker died, fell silent or stalled: not when it was stopped or killed from here. */
  readonly onFailure?: (error: ThurstoneError) => void;
}

export interface StopOptions {
  /** Milliseconds the worker gets after "bye", and again after SIGTERM, before SIGKILL. Default 5,000. */
  readonly grace?: number;
}

export interface WorkerStatistics extends PeerStatistics {
  /** Messages of strangers on the sockets. */
  readonly strangers: number;
}

/** A running worker. Dispose it, or stop it: its process ends with this one in any case. */
export interface WorkerProcess extends AsyncDisposable {
  readonly caller: Caller;
  readonly hello: Hello;
  readonly pid: number;
  readonly heartbeat: Heartbeat | undefined;
  statistics(): WorkerStatistics;
  /** Resolves when the process has ended, however it did. */
  readonly ended: Promise<void>;
  /** "bye", wait, SIGTERM, wait, SIGKILL; then the sockets and the folder are removed. */
  stop(options?: StopOptions): Promise<void>;
  /** SIGKILL to the whole process group, at once. Calls reject with `reason`, or with BRIDGE_CLOSED. */
  kill(reason?: ThurstoneError): void;
}

/** What a worker is made of. */
interface Parts {
  readonly session: string;
  readonly child: Child;
  readonly sockets: WorkerSockets;
  readonly hello: Hello;
  readonly log: WorkerLog;
}

/** Milliseconds that the end of a process may take to be noticed after its socket has gone. */
const END_NOTICED = 2000;

/**
 * Starts a worker and waits until it has greeted. Nothing is left behind when that fails.
 *
 * @throws WorkerError WORKER_START_FAILED with the end of its log, WORKER_MISMATCH; BridgeError BRIDGE_FOLDER
 */
export async function startWorker(options: StartWorkerOptions): Promise<WorkerProcess> {
  const { rank = 0, maxMessageBytes = 2 ** 31 - 1 } = options;
  const session = randomUUID();
  const token = randomBytes(32).toString("base64url");
  const log = createWorkerLog(options.onStderr);
  const sockets = await openWorkerSockets({ session, token, rank, maxMessageBytes });
  const launch = {
    session,
    token,
    ...sockets.addresses,
    rank,
    worldSize: options.worldSize ?? 1,
    heartbeatMs: options.heartbeatInterval ?? 500,
    maxMessageBytes,
    parentPid: process.pid,
  };
  try {
    const child = await startChild({
      command: options.python,
      args: argumentsOf(options),
      env: options.env,
      cwd: options.cwd,
      log,
    }).catch((cause: Error) => Promise.reject(startFailure(options, `cannot be run: ${cause.message}`, log, cause)));
    child.write(`${JSON.stringify(launch)}\n`);
    const hello = await waitForGreeting(options, child, sockets, log);
    return supervise(options, { session, child, sockets, hello, log });
  } catch (error) {
    await sockets.close();
    throw error;
  }
}

/** Ends the child unless it greets in time. */
async function waitForGreeting(
  options: StartWorkerOptions,
  child: Child,
  { greeted }: WorkerSockets,
  log: WorkerLog,
): Promise<Hello> {
  const { startTimeout = 60_000 } = options;
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<string>((resolve) => {
    timer = setTimeout(() => resolve(`said nothing within ${startTimeout / 1000} s`), startTimeout);
  });
  const outcome = await Promise.race([
    greeted.catch((error: WorkerError) => error),
    child.ended.then((how) => `ended with ${how}`),
    late,
  ]);
  clearTimeout(timer);
  if (typeof outcome !== "string" && !(outcome instanceof WorkerError)) return outcome;
  child.kill();
  await child.ended;
  throw outcome instanceof WorkerError ? outcome : startFailure(options, outcome, log);
}

function supervise(options: StartWorkerOptions, { session, child, sockets, hello, log }: Parts): WorkerProcess {
  const heartbeat = watchHeartbeat({
    intervalMs: options.heartbeatInterval ?? 500,
    who: nameOf(options),
    silenceMs: options.silenceTimeout ?? 30_000,
    stallMs: (method) => options.stallTimeouts?.[method] ?? options.stallTimeout ?? 600_000,
    onFailure(error) {
      fail(error);
      child.kill();
    },
  });
  const { data, control } = sockets.transports;
  const peer = createPeer({
    data: { ...data, send: (frames) => data.send(frames).catch(whenUnreachable) },
    control,
    session,
    methods: hello.methods,
    limits: { maxMessageBytes: options.maxMessageBytes ?? 2 ** 31 - 1 },
    onEvent: (name, params) => {
      if (name === "heartbeat") heartbeat.receive(params);
    },
  });
  let stopped: Promise<void> | undefined;
  let failed = false;
  const ended = child.ended.then(async (how) => {
    heartbeat.stop();
    if (stopped === undefined) fail(diedError(options, how, peer, log));
    await sockets.close();
  });

  function fail(error: ThurstoneError): void {
    peer.fail(error);
    if (!failed) options.onFailure?.(error);
    failed = true;
  }

  /** A call to a worker that has just died is to reject with how it died. */
  async function whenUnreachable(error: unknown): Promise<never> {
    if (error instanceof BridgeError && error.code === "BRIDGE_UNREACHABLE") await within(ended, END_NOTICED);
    throw error;
  }

  async function stop({ grace = 5000 }: StopOptions): Promise<void> {
    const bye = encodeMessage({ kind: "bye", id: "bye", session, params: {}, tensors: {} });
    // Not awaited: what is sent to a worker that has lost its connection waits for ever.
    control.send(bye).catch(() => undefined);
    if (!(await within(ended, grace))) {
      child.terminate();
      if (!(await within(ended, grace))) child.kill();
    }
    await ended;
    await peer.close();
  }

  return {
    caller: peer,
    hello,
    pid: child.pid,
    get heartbeat() {
      return heartbeat.last;
    },
    statistics: () => ({ ...peer.statistics(), strangers: sockets.strangers() }),
    ended,
    stop: (stopOptions = {}) => (stopped ??= stop(stopOptions)),
    kill(reason = new BridgeError("BRIDGE_CLOSED", "the worker was killed by its owner.")) {
      failed = true;
      peer.fail(reason);
      child.kill();
    },
    [Symbol.asyncDispose]: () => (stopped ??= stop({})),
  };
}

async function within(promise: Promise<void>, milliseconds: number): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<false>((resolve) => (timer = setTimeout(() => resolve(false), milliseconds)));
  const result = await Promise.race([promise.then(() => true as const), late]);
  clearTimeout(timer);
  return result;
}

function argumentsOf({ args = ["-m", "thurstone_runtime"] }: StartWorkerOptions): readonly string[] {
  return args;
}

function startFailure(options: StartWorkerOptions, why: string, log: WorkerLog, cause?: unknown): WorkerError {
  const command = [options.python, ...argumentsOf(options)].join(" ");
  return new WorkerError(
    "WORKER_START_FAILED",
    `${nameOf(options)} (${command}) did not start: it ${why}. "thurstone doctor" tells what is missing.${log.tail()}`,
    { cause },
  );
}

/** How messages call the worker. */
function nameOf({ rank = 0, worldSize = 1 }: StartWorkerOptions): string {
  return worldSize === 1 ? "the worker" : `rank ${rank}`;
}

function diedError(options: StartWorkerOptions, how: string, peer: Peer, log: WorkerLog): WorkerError {
  const who = nameOf(options);
  const [oldest] = peer.pending();
  const doing = oldest === undefined ? "while idle" : `during ${oldest.method}, after ${oldest.seconds.toFixed(1)} s`;
  const memory =
    how === "signal SIGKILL" ? " Out of memory is the usual cause: see the plan of `thurstone train --dry-run`." : "";
  return new WorkerError(
    "WORKER_DIED",
    `${who} ended with ${how} ${doing}.${memory} Last lines of its log:${log.tail()}`,
    {
      fields: { how, method: oldest?.method ?? null },
    },
  );
}
