/**
 * Starts a worker process, supervises it, and ends it: the worker's whole life as its parent sees it.
 *
 * @module
 */
import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { randomBytes, randomUUID } from "node:crypto";
import { encodeMessage } from "./codec.js";
import { WorkerError } from "../errors.js";
import { createHandshake } from "./handshake.js";
import type { Channel, Greeting, Hello } from "./handshake.js";
import { watchHeartbeat } from "./heartbeat.js";
import type { Heartbeat } from "./heartbeat.js";
import { createPeer } from "./peer.js";
import type { Peer, PeerStatistics } from "./peer.js";
import { createPrivateFolder } from "./private-folder.js";
import { bindRouter } from "./router-socket.js";
import type { RouterSocket } from "./router-socket.js";
import type { Transport, TransportHandlers } from "./transport.js";
import type { Caller } from "./types.js";
import { createWorkerLog } from "./worker-log.js";
import type { WorkerLog } from "./worker-log.js";

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
  /** Largest message either way in bytes. Default 2 GiB - 1. */
  readonly maxMessageBytes?: number;
  /** Every line the worker writes to stdout or stderr. */
  readonly onStderr?: (line: string) => void;
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
  /** SIGKILL to the whole process group, at once. */
  kill(): void;
}

/** Children that must not outlive this process when it ends without disposing of them. */
const running = new Set<number>();
process.on("exit", () => running.forEach(killGroup));

/**
 * Starts a worker and waits until it has greeted.
 *
 * @throws WorkerError WORKER_START_FAILED with the end of its log, WORKER_MISMATCH
 */
export async function startWorker(options: StartWorkerOptions): Promise<WorkerProcess> {
  const { rank = 0, startTimeout = 60_000, stallTimeout = 600_000, silenceTimeout = 30_000 } = options;
  const { heartbeatInterval = 500, maxMessageBytes = 2 ** 31 - 1 } = options;
  const session = randomUUID();
  const token = randomBytes(32).toString("base64url");
  const folder = await createPrivateFolder();
  const log = createWorkerLog(options.onStderr);
  const address = (channel: Channel): string => `ipc://${folder.path}/${channel}`;

  let strangers = 0;
  let known: Record<Channel, { readonly identity: Buffer; readonly inbox: TransportHandlers | undefined }> | undefined;
  let greeted: (greetings: Record<Channel, Greeting>) => void = () => undefined;
  let failed: (error: WorkerError) => void = () => undefined;
  const ready = new Promise<Record<Channel, Greeting>>((resolve, reject) => {
    greeted = resolve;
    failed = reject;
  });
  ready.catch(() => undefined);

  const routers = {} as Record<Channel, RouterSocket>;
  const greet = createHandshake({
    session,
    token,
    rank,
    send: (channel, identity, frames) => routers[channel].send(identity, frames),
    onReady: (data, control) => greeted({ data, control }),
    onRefused: (error) => failed(error),
  });
  for (const channel of ["data", "control"] as const) {
    routers[channel] = await bindRouter({
      address: address(channel),
      maxMessageBytes,
      onFailure: (error) => known?.[channel].inbox?.onClose(error),
      onMessage(identity, frames) {
        const mine = known?.[channel];
        if (mine !== undefined && identity.equals(mine.identity)) mine.inbox?.onMessage(frames);
        else if (known !== undefined || !greet(channel, identity, frames)) strangers += 1;
      },
    });
  }
  const release = async (): Promise<void> => {
    routers.data.close();
    routers.control.close();
    await folder.remove();
  };

  const child = spawnChild(options, log);
  const exit = watchExit(child);
  void exit.then((how) => failed(startFailure(options, `ended with ${how}`, log)));
  child.once("error", (cause) => failed(startFailure(options, cause.message, log, cause)));
  child.stdin!.on("error", () => undefined);
  const timer = setTimeout(
    () => failed(startFailure(options, `said nothing within ${startTimeout / 1000} s`, log)),
    startTimeout,
  );
  const launch = {
    session,
    token,
    data: address("data"),
    control: address("control"),
    rank,
    worldSize: options.worldSize ?? 1,
    heartbeatMs: heartbeatInterval,
    maxMessageBytes,
    parentPid: process.pid,
  };
  child.stdin!.write(`${JSON.stringify(launch)}\n`);

  let greetings: Record<Channel, Greeting>;
  try {
    greetings = await ready;
  } catch (error) {
    if (child.pid !== undefined) killGroup(child.pid);
    await release();
    throw error;
  } finally {
    clearTimeout(timer);
  }

  const pid = child.pid!;
  const transportOf = (channel: Channel): Transport => ({
    start: (inbox) => {
      known = {
        data: { identity: greetings.data.identity, inbox: known?.data.inbox },
        control: { identity: greetings.control.identity, inbox: known?.control.inbox },
        [channel]: { identity: greetings[channel].identity, inbox },
      } as NonNullable<typeof known>;
    },
    send: (frames) => routers[channel].send(greetings[channel].identity, frames),
    close: async () => routers[channel].close(),
  });

  const heartbeat = watchHeartbeat({
    intervalMs: heartbeatInterval,
    silenceMs: silenceTimeout,
    stallMs: stallTimeout,
    onFailure(error) {
      peer.fail(error);
      killGroup(pid);
    },
  });
  const peer = createPeer({
    data: transportOf("data"),
    control: transportOf("control"),
    session,
    methods: greetings.data.hello.methods,
    limits: { maxMessageBytes },
    onEvent: (name, params) => {
      if (name === "heartbeat") heartbeat.receive(params);
    },
  });
  let stopping = false;
  const ended = exit.then(async (how) => {
    heartbeat.stop();
    if (!stopping) peer.fail(diedError(how, peer, log));
    await release();
  });

  const stop = async ({ grace = 5000 }: StopOptions = {}): Promise<void> => {
    stopping = true;
    const bye = encodeMessage({ kind: "bye", id: "bye", session, params: {}, tensors: {} });
    // A worker that is gone already cannot be told; waiting for its end is all that is left.
    await routers.control.send(greetings.control.identity, bye).catch(() => undefined);
    if (!(await within(ended, grace))) {
      child.kill("SIGTERM");
      if (!(await within(ended, grace))) killGroup(pid);
    }
    await ended;
    await peer.close();
  };
  return {
    caller: peer,
    hello: greetings.data.hello,
    pid,
    get heartbeat() {
      return heartbeat.last;
    },
    statistics: () => ({ ...peer.statistics(), strangers }),
    ended,
    stop,
    kill: () => killGroup(pid),
    [Symbol.asyncDispose]: () => stop(),
  };
}

function spawnChild(options: StartWorkerOptions, log: WorkerLog): ChildProcess {
  const child = spawn(options.python, [...(options.args ?? ["-m", "thurstone_runtime"])], {
    // A group of its own: Ctrl-C in a terminal reaches this process only, which then decides; and the group can be killed.
    detached: true,
    stdio: ["pipe", "pipe", "pipe"],
    env: { ...process.env, ...options.env },
    ...(options.cwd !== undefined && { cwd: options.cwd }),
  });
  log.follow(child.stdout!);
  log.follow(child.stderr!);
  return child;
}

/** Resolves with how the process ended, once all it wrote has been read. */
function watchExit(child: ChildProcess): Promise<string> {
  if (child.pid !== undefined) running.add(child.pid);
  return new Promise((resolve) => {
    child.once("close", (code, signal) => {
      if (child.pid !== undefined) {
        running.delete(child.pid);
        // What the worker itself started must not outlive it.
        killGroup(child.pid);
      }
      resolve(signal === null ? `exit code ${code}` : `signal ${signal}`);
    });
  });
}

function killGroup(pid: number): void {
  try {
    process.kill(-pid, "SIGKILL");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}

async function within(promise: Promise<void>, milliseconds: number): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<false>((resolve) => (timer = setTimeout(() => resolve(false), milliseconds)));
  const result = await Promise.race([promise.then(() => true as const), late]);
  clearTimeout(timer);
  return result;
}

function startFailure(options: StartWorkerOptions, why: string, log: WorkerLog, cause?: unknown): WorkerError {
  const command = [options.python, ...(options.args ?? ["-m", "thurstone_runtime"])].join(" ");
  return new WorkerError(
    "WORKER_START_FAILED",
    `the worker (${command}) did not start: it ${why}. "thurstone doctor" tells what is missing.${log.tail()}`,
    { cause },
  );
}

function diedError(how: string, peer: Peer, log: WorkerLog): WorkerError {
  const [oldest] = peer.pending();
  const doing = oldest === undefined ? "while idle" : `during ${oldest.method}, after ${oldest.seconds.toFixed(1)} s`;
  const memory =
    how === "signal SIGKILL" ? " Out of memory is the usual cause: see the plan of `thurstone train --dry-run`." : "";
  return new WorkerError(
    "WORKER_DIED",
    `the worker ended with ${how} ${doing}.${memory} Last lines of its log:${log.tail()}`,
    {
      fields: { how, method: oldest?.method ?? null },
    },
  );
}
