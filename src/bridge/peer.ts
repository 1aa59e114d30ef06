/**
 * The calling end: requests with ids, deadlines, cancellation, progress, typed errors and bounded bytes in flight.
 *
 * @module
 */
import { randomUUID } from "node:crypto";
import { BridgeError, ThurstoneError, WorkerError } from "../errors.js";
import { decodeMessage, encodeMessage } from "./codec.js";
import type { Limits } from "./codec.js";
import { limitCall } from "./call-limit.js";
import type { CallLimit } from "./call-limit.js";
import { createCredit } from "./credit.js";
import type { Message } from "./message.js";
import type { Transport } from "./transport.js";
import type { Caller, CallOptions, MethodKind, PlainMap, Reply } from "./types.js";

export interface PeerOptions {
  /** Carries requests and replies. */
  readonly data: Transport;
  /** Carries cancellation and heartbeats, so that they never queue behind tensors. */
  readonly control: Transport;
  /** Launch id; messages of another launch are dropped. */
  readonly session: string;
  /** What the other end answers. */
  readonly methods: Readonly<Record<string, MethodKind>>;
  readonly limits?: Limits;
  /** Requests under way at most. Default 64. */
  readonly maxRequests?: number;
  /** Bytes of requests under way at most. Default 256 MiB. */
  readonly maxBytes?: number;
  /** Events that belong to no call, such as heartbeats. */
  readonly onEvent?: (name: string, params: PlainMap) => void;
}

export interface PeerStatistics {
  readonly calls: number;
  readonly pending: number;
  readonly bytesSent: number;
  readonly bytesReceived: number;
  /** Seconds in which at least one call was under way. */
  readonly secondsWaited: number;
  /** Replies to calls that were cancelled or timed out, and messages of another launch. */
  readonly dropped: number;
  readonly malformed: number;
}

export interface Peer extends Caller {
  statistics(): PeerStatistics;
  /** Methods under way with the seconds they have taken, oldest first. */
  pending(): { readonly method: string; readonly seconds: number }[];
  /** Rejects everything under way, and every later call, with this error. */
  fail(error: ThurstoneError): void;
}

interface Pending {
  readonly method: string;
  readonly started: number;
  readonly resolve: (reply: Reply) => void;
  readonly reject: (error: Error) => void;
  readonly onProgress: CallOptions["onProgress"];
  readonly limit: CallLimit;
}

/** @returns the calling end of a connection whose other end answers `options.methods` */
export function createPeer(options: PeerOptions): Peer {
  const { data, control, session, methods, limits = {} } = options;
  const credit = createCredit({ requests: options.maxRequests ?? 64, bytes: options.maxBytes ?? 256 * 2 ** 20 });
  const pending = new Map<string, Pending>();
  const waiting = createStopwatch(() => pending.size > 0);
  /** Bytes to give back once the other end has answered, also for calls nobody waits for any more. */
  const owed = new Map<string, number>();
  const counts = { calls: 0, bytesSent: 0, bytesReceived: 0, dropped: 0, malformed: 0 };
  let failure: ThurstoneError | undefined;

  function fail(error: ThurstoneError): void {
    failure ??= error;
    for (const call of pending.values()) call.reject(error);
    pending.clear();
    waiting.update();
    owed.clear();
    credit.close(error);
  }

  function receive(frames: Uint8Array[]): void {
    counts.bytesReceived += totalBytes(frames);
    let message: Message;
    try {
      message = decodeMessage(frames, limits);
    } catch (error) {
      return receiveMalformed(error as BridgeError);
    }
    if (message.session !== session) counts.dropped += 1;
    else if (message.kind === "evt") receiveEvent(message);
    else if (message.kind === "res" || message.kind === "err") receiveReply(message);
    else counts.dropped += 1;
  }

  /** A reply that cannot be read would leave its call waiting for ever: that call fails, or all where none is named. */
  function receiveMalformed(cause: BridgeError): void {
    counts.malformed += 1;
    const text = `the worker sent a message that cannot be read: ${cause.message}`;
    const error = new BridgeError("BRIDGE_MALFORMED", text, { cause, fields: { reason: cause.code } });
    const { id } = cause.fields;
    if (typeof id === "string" && cause.fields["session"] === session && owed.has(id)) settle(id)?.reject(error);
    else fail(error);
  }

  function receiveEvent({ id, method, params }: Message): void {
    if (method !== "progress") return options.onEvent?.(method!, params);
    try {
      pending.get(id)?.onProgress?.(params);
    } catch (error) {
      giveUp(id, error as Error);
    }
  }

  function receiveReply(message: Message): void {
    const call = settle(message.id);
    if (call === undefined) counts.dropped += 1;
    else if (message.error) call.reject(lateness(message.error, call) ?? remoteError(message.error, call.method));
    else call.resolve({ result: message.params, tensors: message.tensors });
  }

  /** The other end is done with a request. Returns the call that waits for it, if one still does. */
  function settle(id: string): Pending | undefined {
    const bytes = owed.get(id);
    if (bytes !== undefined) {
      owed.delete(id);
      credit.give(bytes);
    }
    return forget(id);
  }

  function forget(id: string): Pending | undefined {
    const call = pending.get(id);
    pending.delete(id);
    waiting.update();
    return call;
  }

  /** Rejects a call and tells the other end, whose answer then is dropped. */
  function giveUp(id: string, error: Error): void {
    const call = forget(id);
    if (call === undefined) return;
    call.reject(error);
    const frames = encodeMessage({ kind: "cancel", id, session, params: {}, tensors: {} });
    // A worker that cannot be reached any more has nothing left to cancel; its death is reported elsewhere.
    control.send(frames).catch(() => undefined);
  }

  async function call(method: string, params: PlainMap, callOptions: CallOptions = {}): Promise<Reply> {
    if (failure) throw failure;
    if (!Object.hasOwn(methods, method)) {
      const known = Object.keys(methods).join(", ");
      throw new BridgeError("METHOD_UNKNOWN", `the worker has no method "${method}"; it has ${known}.`);
    }
    const limit = limitCall(method, callOptions);
    try {
      return await run(method, params, callOptions, limit);
    } finally {
      limit.release();
    }
  }

  async function run(method: string, params: PlainMap, callOptions: CallOptions, limit: CallLimit): Promise<Reply> {
    const { tensors = {}, onProgress } = callOptions;
    const id = randomUUID();
    const request: Message = { kind: "req", id, session, method, params, tensors };
    let frames = encodeMessage(request, limits);
    const bytes = totalBytes(frames);
    await credit.take(bytes, limit.signal);
    if (failure) throw failure;
    if (limit.signal?.aborted) {
      credit.give(bytes);
      throw limit.signal.reason;
    }
    const deadline = limit.left();
    if (deadline !== undefined) frames = encodeMessage({ ...request, deadline }, limits);
    counts.calls += 1;
    counts.bytesSent += bytes;
    owed.set(id, bytes);
    return new Promise<Reply>((resolve, reject) => {
      pending.set(id, { method, started: performance.now(), resolve, reject, onProgress, limit });
      waiting.update();
      limit.signal?.addEventListener("abort", () => giveUp(id, limit.signal!.reason as Error), { once: true });
      data.send(frames).catch((error: Error) => {
        settle(id);
        reject(error);
      });
    });
  }

  const closed = (cause?: Error): void =>
    fail(new BridgeError("BRIDGE_CLOSED", "the connection to the worker was closed.", { cause }));
  data.start({ onMessage: receive, onClose: closed });
  control.start({ onMessage: receive, onClose: closed });

  return {
    call,
    statistics: () => ({ ...counts, pending: pending.size, secondsWaited: waiting.seconds() }),
    pending: () =>
      [...pending.values()].map(({ method, started }) => ({ method, seconds: (performance.now() - started) / 1000 })),
    fail,
    async close() {
      closed();
      await Promise.all([data.close(), control.close()]);
    },
  };
}

/** Adds up the time in which a condition holds; `update` is to be called whenever it may have changed. */
function createStopwatch(runs: () => boolean) {
  let total = 0;
  let since: number | undefined;
  return {
    update(): void {
      const now = performance.now();
      if (since !== undefined) total += now - since;
      since = runs() ? now : undefined;
    },
    seconds(): number {
      this.update();
      return total / 1000;
    },
  };
}

function totalBytes(frames: readonly Uint8Array[]): number {
  return frames.reduce((total, frame) => total + frame.byteLength, 0);
}

/** Both ends watch the time of a call. When the other notices first, the call rejects as it would a moment later. */
function lateness({ code }: NonNullable<Message["error"]>, { limit }: Pending): BridgeError | undefined {
  return code === "DEADLINE" ? limit.late() : undefined;
}

/** The error the worker reported, under the worker's own code. */
function remoteError(error: NonNullable<Message["error"]>, method: string): WorkerError {
  const { code, message, retryable, traceback } = error;
  return new WorkerError(code, message, {
    fields: { method, retryable, ...(traceback !== undefined && { traceback }) },
  });
}
