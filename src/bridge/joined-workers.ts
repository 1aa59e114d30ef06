/**
 * Workers that dial in from other machines, watched as if they were this process's own.
 *
 * @module
 */
import { setTimeout as sleep } from "node:timers/promises";
import { BridgeError, WorkerError } from "../errors.js";
import type { ThurstoneError } from "../errors.js";
import { encodeMessage } from "./codec.js";
import { readControlKeys } from "./curve-keys.js";
import type { Hello } from "./handshake.js";
import { watchHeartbeat } from "./heartbeat.js";
import { openLobby } from "./lobby.js";
import type { Guest, Lobby } from "./lobby.js";
import { createPeer } from "./peer.js";
import type { Caller } from "./types.js";
import type { StartWorkerOptions, StopOptions } from "./worker-process.js";

export interface AwaitWorkersOptions extends Pick<
  StartWorkerOptions,
  "heartbeatInterval" | "silenceTimeout" | "stallTimeout" | "stallTimeouts" | "maxMessageBytes"
> {
  /** "tcp://HOST:PORT", HOST an address of this machine; PORT and the one above it must be free. */
  readonly address: string;
  /** The control file of `makeKeys`. */
  readonly keyFile: string;
  readonly worldSize: number;
  /** Version of the Python side that all must have. Default: any. */
  readonly runtime?: string;
  /** Milliseconds until all must be there. Default 600,000. */
  readonly waitTimeout?: number;
  /**
   * Milliseconds for which a worker that gets SIGTERM in the run leaves it to this process, which got it too if a scheduler
   * sends it to a whole job, and needs its workers to save. Default 60,000.
   */
  readonly leaveSigterm?: number;
  /** A sentence for everybody who comes, is refused, or leaves. */
  readonly onNews?: (sentence: string) => void;
  /** Gives up waiting; rejects with its reason. */
  readonly signal?: AbortSignal | undefined;
}

/** Workers that have joined. Dispose them, or stop them. */
export interface JoinedWorkers extends AsyncDisposable {
  /** By rank. */
  readonly callers: readonly Caller[];
  readonly hellos: readonly Hello[];
  /** Tells them to end, waits for `grace` (default 5,000 ms), and ends the connections, which ends those that are left. */
  stop(options?: StopOptions): Promise<void>;
}

/** Sentences kept for the error that tells who did not come. */
const KEPT_NEWS = 20;

/**
 * Waits until as many workers as asked for have joined. One that is lost afterwards takes the others with it: calls to any
 * of them reject with what happened to the first. None may come back; the run goes on from its checkpoint.
 *
 * @throws BridgeError KEYS_MISSING, KEYS_OPEN, KEYS_INVALID, LISTEN_FAILED, DOOR_OPEN; WorkerError WORKERS_MISSING
 */
export async function awaitWorkers(options: AwaitWorkersOptions): Promise<JoinedWorkers> {
  const news: string[] = [];
  const onNews = (sentence: string): void => {
    news.push(sentence);
    if (news.length > KEPT_NEWS) news.shift();
    options.onNews?.(sentence);
  };
  const lobby = await openLobby({
    address: options.address,
    keys: await readControlKeys(options.keyFile),
    worldSize: options.worldSize,
    runtime: options.runtime,
    heartbeatMs: options.heartbeatInterval ?? 500,
    maxMessageBytes: options.maxMessageBytes ?? 2 ** 31 - 1,
    leaveSigtermMs: options.leaveSigterm ?? 60_000,
    onNews,
  });
  try {
    options.onNews?.(`waiting at ${options.address} for ${options.worldSize} workers`);
    return attend(options, lobby, await allThere(options, lobby, news));
  } catch (error) {
    lobby.close();
    throw error;
  }
}

async function allThere(
  { waitTimeout = 600_000, worldSize, address, signal }: AwaitWorkersOptions,
  lobby: Lobby,
  news: readonly string[],
): Promise<readonly Guest[]> {
  const over = new AbortController();
  const signals = signal === undefined ? over.signal : AbortSignal.any([over.signal, signal]);
  const late = sleep(waitTimeout, undefined, { signal: signals }).catch(() => signal?.throwIfAborted());
  const guests = await Promise.race([lobby.complete, late]);
  over.abort();
  if (guests !== undefined) return guests;
  const ranks = lobby.missing();
  const last = news.map((line) => `\n  | ${line}`);
  throw new WorkerError(
    "WORKERS_MISSING",
    `of ${worldSize} workers, rank ${ranks.join(", ")} did not join at ${address} within ${waitTimeout / 1000} s. Start ` +
      `them with "thurstone worker --connect ${address} --key FILE"; what happened meanwhile follows.` +
      (last.length === 0 ? " Nobody came." : last.join("")),
    { fields: { ranks } },
  );
}

function attend(options: AwaitWorkersOptions, lobby: Lobby, guests: readonly Guest[]): JoinedWorkers {
  let stopping = false;
  const watched = guests.map((guest) => {
    const heartbeat = watchHeartbeat({
      intervalMs: options.heartbeatInterval ?? 500,
      who: guest.name,
      silenceMs: options.silenceTimeout ?? 30_000,
      stallMs: (method) => options.stallTimeouts?.[method] ?? options.stallTimeout ?? 600_000,
      onFailure: fail,
    });
    const peer = createPeer({
      ...guest.transports,
      session: lobby.session,
      methods: guest.hello.methods,
      limits: { maxMessageBytes: options.maxMessageBytes ?? 2 ** 31 - 1 },
      onEvent: (name, params) => {
        if (name === "heartbeat") heartbeat.receive(params);
      },
    });
    void guest.left.then(() => {
      heartbeat.stop();
      if (!stopping) fail(lostError(guest, peer.pending()[0]));
    });
    return { guest, peer, heartbeat };
  });

  function fail(error: ThurstoneError): void {
    if (!stopping) options.onNews?.(error.message);
    stopping = true;
    for (const { peer, heartbeat } of watched) {
      peer.fail(error);
      heartbeat.stop();
    }
    // A worker whose connection ends does so as well.
    lobby.close();
  }

  async function stop({ grace = 5000 }: StopOptions = {}): Promise<void> {
    if (stopping) return;
    stopping = true;
    const bye = encodeMessage({ kind: "bye", id: "bye", session: lobby.session, params: {}, tensors: {} });
    for (const { guest, heartbeat } of watched) {
      heartbeat.stop();
      // Not awaited: one that has just gone is never reached.
      guest.transports.control.send(bye).catch(() => undefined);
    }
    const late = new AbortController();
    await Promise.race([
      Promise.all(watched.map(({ guest }) => guest.left)),
      sleep(grace, undefined, { signal: late.signal }).catch(() => undefined),
    ]);
    late.abort();
    const closed = new BridgeError("BRIDGE_CLOSED", "the workers were told to end.");
    for (const { peer } of watched) peer.fail(closed);
    lobby.close();
  }

  return {
    callers: watched.map(({ peer }) => peer),
    hellos: guests.map(({ hello }) => hello),
    stop,
    [Symbol.asyncDispose]: () => stop(),
  };
}

function lostError({ name, rank }: Guest, oldest: { method: string; seconds: number } | undefined): WorkerError {
  const doing = oldest === undefined ? "while idle" : `during ${oldest.method}, after ${oldest.seconds.toFixed(1)} s`;
  return new WorkerError(
    "WORKER_LOST",
    `the connection to ${name} ended ${doing}: the worker died, or the network between. Its own output says which. The run ` +
      "goes on from its last checkpoint: start it with resume_from_checkpoint, and the workers again.",
    { fields: { rank, method: oldest?.method ?? null } },
  );
}
