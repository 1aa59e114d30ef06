/**
 * Where workers of other machines dial in: two sockets over tcp for all of them, behind CURVE and a list of keys.
 *
 * A worker asks to join on the control socket and is given the launch's id and a token of its own, which it shows once on
 * either socket. From then on what it sends and gets passes through its transports.
 *
 * @module
 */
import { randomBytes, randomUUID } from "node:crypto";
import { BridgeError } from "../errors.js";
import { proveClosed } from "./closed-door.js";
import { encodeMessage } from "./codec.js";
import type { ControlKeys } from "./curve-keys.js";
import { guardDomain } from "./doorkeeper.js";
import { judgeHello, readable } from "./handshake.js";
import type { Channel, Hello } from "./handshake.js";
import { JOIN_SESSION, judgeJoin } from "./join.js";
import type { Join } from "./join.js";
import type { Message } from "./message.js";
import { bindRouter } from "./router-socket.js";
import type { RouterSocket } from "./router-socket.js";
import type { Transport, TransportHandlers } from "./transport.js";

export interface LobbyOptions {
  /** "tcp://HOST:PORT": of the control socket; the data socket has the next port. HOST is an address of this machine. */
  readonly address: string;
  readonly keys: ControlKeys;
  readonly worldSize: number;
  /** Version of the Python side that all must have. Default: any. */
  readonly runtime?: string | undefined;
  readonly heartbeatMs: number;
  readonly maxMessageBytes: number;
  /** Milliseconds for which a worker in a run leaves a SIGTERM of its own to this process. */
  readonly leaveSigtermMs: number;
  /** A sentence for everybody who comes, is refused, or leaves again. */
  readonly onNews: (sentence: string) => void;
}

/** A worker that has greeted on both sockets. */
export interface Guest {
  readonly rank: number;
  /** "rank 1 on node7 (process 123)". */
  readonly name: string;
  readonly hello: Hello;
  readonly transports: Readonly<Record<Channel, Transport>>;
  /** Resolves when a connection of it has ended. */
  readonly left: Promise<void>;
}

export interface Lobby {
  readonly session: string;
  /** Resolves with the workers by rank once all are there; nobody else is let in afterwards. */
  readonly complete: Promise<readonly Guest[]>;
  /** Ranks that are not there. */
  missing(): number[];
  /** Ends every connection. */
  close(): void;
}

const CHANNELS: readonly Channel[] = ["control", "data"];
/** Different refusals that are told of: whoever knocks on and on must not fill a log. */
const TOLD_REFUSALS = 100;

/** A rank that somebody has asked for. */
interface Seat {
  readonly join: Join;
  readonly token: string;
  readonly lines: Partial<Record<Channel, { readonly identity: Buffer; readonly hello: Hello }>>;
  readonly inboxes: Partial<Record<Channel, TransportHandlers>>;
  readonly left: Promise<void>;
  readonly leave: () => void;
}

/**
 * Binds the sockets and proves that strangers are turned away.
 *
 * @throws BridgeError LISTEN_FAILED when the address cannot be had, DOOR_OPEN
 */
export async function openLobby(options: LobbyOptions): Promise<Lobby> {
  const { keys, worldSize, maxMessageBytes, onNews } = options;
  const session = randomUUID();
  const seats = new Map<number, Seat>();
  /** Seats by channel and identity of the connection. */
  const places: Record<Channel, Map<string, Seat>> = { control: new Map(), data: new Map() };
  const routers: Partial<Record<Channel, RouterSocket>> = {};
  // The self-test's own knocks are no news.
  let testing = true;
  const told = new Map<string, number>();
  /** Tells of each the first, tenth, hundredth ... time. */
  const refusal = (sentence: string): void => {
    const times = (told.get(sentence) ?? 0) + 1;
    if (testing || (times === 1 && told.size === TOLD_REFUSALS)) return;
    told.set(sentence, times);
    if (/^10*$/.test(String(times))) onNews(times === 1 ? sentence : `${sentence}, ${times} times by now`);
    if (times === 1 && told.size === TOLD_REFUSALS) onNews(`${told.size} different refusals; no other is told of`);
  };
  let fill: (guests: readonly Guest[]) => void = () => undefined;
  const complete = new Promise<readonly Guest[]>((resolve) => (fill = resolve));
  let full = false;
  const guard = await guardDomain({ keys: keys.workers, onRefused: refusal });

  function close(): void {
    for (const router of Object.values(routers)) router.close();
    guard.close();
  }

  function receive(channel: Channel, identity: Buffer, frames: Uint8Array[]): void {
    const message = readable(frames);
    const seat = places[channel].get(keyOf(identity));
    if (message?.kind === "hello") return greet(channel, identity, message, frames);
    // What a worker says before it is spoken to is that it lives.
    if (seat !== undefined) seat.inboxes[channel]?.onMessage(frames);
    else refusal(`ignored a message on the ${channel} socket from ${nameOf(identity)}, who has not greeted`);
  }

  function greet(channel: Channel, identity: Buffer, message: Message, frames: Uint8Array[]): void {
    if (message.session === JOIN_SESSION && channel === "control") seatWorker(identity, message);
    else if (message.session === session) takePlace(channel, identity, message, frames);
    else refuse(channel, identity, message, "HELLO_TOKEN", "it greets for another launch");
  }

  function seatWorker(identity: Buffer, message: Message): void {
    const taken = (rank: number): boolean => full || CHANNELS.some((channel) => seats.get(rank)?.lines[channel]);
    const verdict = judgeJoin(message, { worldSize, runtime: options.runtime, taken });
    if (verdict.kind === "refused") return refuse("control", identity, message, verdict.code, verdict.reason);
    const token = randomBytes(32).toString("base64url");
    let leave = (): void => undefined;
    const left = new Promise<void>((resolve) => (leave = resolve));
    seats.set(verdict.join.rank, { join: verdict.join, token, lines: {}, inboxes: {}, left, leave });
    const { heartbeatMs, leaveSigtermMs } = options;
    const launch = { session, token, heartbeatMs, maxMessageBytes, leaveSigtermMs };
    answer("control", identity, { ...message, params: launch });
  }

  function takePlace(channel: Channel, identity: Buffer, message: Message, frames: Uint8Array[]): void {
    const { rank } = message.params;
    const seat = typeof rank === "number" ? seats.get(rank) : undefined;
    if (seat === undefined) return refuse(channel, identity, message, "HELLO_TOKEN", "no such rank has joined");
    const verdict = judgeHello(frames, { session, token: seat.token, rank: seat.join.rank, channel });
    if (verdict.kind !== "welcome") {
      const [code, reason] =
        verdict.kind === "mismatch"
          ? ["HELLO_VERSION", verdict.error.message]
          : [
              "HELLO_TOKEN",
              `the token is not that of rank ${seat.join.rank}; another worker of this rank may have asked since`,
            ];
      return refuse(channel, identity, message, code, reason);
    }
    if (seat.lines[channel] !== undefined) {
      return refuse(channel, identity, message, "HELLO_REPLAYED", `the token of rank ${seat.join.rank} has been used`);
    }
    seat.lines[channel] = { identity, hello: verdict.hello };
    places[channel].set(keyOf(identity), seat);
    answer(channel, identity, { ...message, params: {} });
    if (CHANNELS.every((one) => seat.lines[one])) welcome(seat);
  }

  function welcome({ join }: Seat): void {
    const ranks = missing();
    const rest = ranks.length === 0 ? "all are there" : `waiting for rank ${ranks.join(", ")}`;
    onNews(`${workerName(join)} has joined: ${worldSize - ranks.length} of ${worldSize}; ${rest}`);
    if (ranks.length > 0) return;
    full = true;
    fill([...seats.values()].sort((a, b) => a.join.rank - b.join.rank).map(guestOf));
  }

  function guestOf(seat: Seat): Guest {
    const transportOf = (channel: Channel): Transport => ({
      start: (inbox) => void (seat.inboxes[channel] = inbox),
      send: (frames) => routers[channel]!.send(seat.lines[channel]!.identity, frames),
      close: () => Promise.resolve(),
    });
    return {
      rank: seat.join.rank,
      name: workerName(seat.join),
      hello: seat.lines.data!.hello,
      transports: { data: transportOf("data"), control: transportOf("control") },
      left: seat.left,
    };
  }

  /** A connection has ended. While others are waited for, the rank is free again. */
  function end(channel: Channel, identity: Buffer): void {
    const seat = places[channel].get(keyOf(identity));
    if (seat === undefined) return;
    for (const one of CHANNELS) {
      const line = seat.lines[one];
      if (line !== undefined) places[one].delete(keyOf(line.identity));
    }
    seat.leave();
    if (full || seats.get(seat.join.rank) !== seat) return;
    seats.delete(seat.join.rank);
    onNews(`${workerName(seat.join)} has left again; its rank is free`);
  }

  function missing(): number[] {
    const there = (rank: number): boolean => CHANNELS.every((channel) => seats.get(rank)?.lines[channel]);
    return Array.from({ length: worldSize }, (_, rank) => rank).filter((rank) => !there(rank));
  }

  function refuse(channel: Channel, identity: Buffer, message: Message, code: string, reason: string): void {
    refusal(`refused ${nameOf(identity)} on the ${channel} socket: ${reason} (${code})`);
    answer(channel, identity, {
      ...message,
      kind: "err",
      params: {},
      error: { code, message: reason, retryable: false },
    });
  }

  function answer(channel: Channel, identity: Buffer, message: Message): void {
    // Whoever greets and is gone again cannot be answered.
    routers[channel]!.send(identity, encodeMessage({ ...message, tensors: {} })).catch(() => undefined);
  }

  async function open(channel: Channel, address: string): Promise<void> {
    let hear = (): void => undefined;
    const heard = new Promise<void>((resolve) => (hear = resolve));
    routers[channel] = await bindRouter({
      address,
      maxMessageBytes,
      onMessage: (identity, frames) => receive(channel, identity, frames),
      onFailure: (error) => seats.forEach((seat) => seat.inboxes[channel]?.onClose(error)),
      secure: {
        secretKey: keys.secretKey,
        domain: guard.domain,
        onLeft: (identity) => end(channel, identity),
        onRefused: (sentence) => {
          refusal(sentence);
          hear();
        },
      },
    }).catch((cause: Error) => Promise.reject(listenFailed(address, cause)));
    await proveClosed({ address: reachable(routers[channel].address), serverKey: keys.publicKey, heard });
  }

  try {
    const { control, data } = lobbyAddresses(options.address);
    await open("control", control);
    await open("data", data);
  } catch (error) {
    close();
    throw error;
  }
  testing = false;
  return { session, complete, missing, close };
}

/** The addresses of both sockets: the one given, and that of the next port. */
export function lobbyAddresses(address: string): Record<Channel, string> {
  const [, host, port] = /^(.*):(\d+)$/.exec(address) ?? [];
  return { control: address, data: `${host}:${Number(port) + 1}` };
}

/** How this machine itself reaches a socket that listens everywhere. */
function reachable(address: string): string {
  return address.replace("tcp://0.0.0.0:", "tcp://127.0.0.1:").replace("tcp://[::]:", "tcp://[::1]:");
}

function listenFailed(address: string, cause: Error): BridgeError {
  return new BridgeError(
    "LISTEN_FAILED",
    `workers cannot be awaited at ${address}: ${cause.message}. It must be an address of this machine whose port, and the ` +
      "next one, are free.",
    { cause },
  );
}

function keyOf(identity: Buffer): string {
  return identity.toString("latin1");
}

/** Identities are made by workers: printable text, at most 255 bytes; those that ZeroMQ makes are none. */
function nameOf(identity: Buffer): string {
  const text = keyOf(identity);
  return text === printable(text) ? text : `0x${identity.toString("hex")}`;
}

/** Without what a terminal might obey. */
function printable(text: string): string {
  return text.replace(/[^\x20-\x7e]/g, "?");
}

function workerName({ rank, host, pid }: Join): string {
  return `rank ${rank} on ${printable(host)} (process ${pid})`;
}
