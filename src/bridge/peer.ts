/**
 * The calling end: requests with ids, deadlines, cancellation, progress, typed errors and bounded bytes in flight.
 *
 * @module
 */
import { randomUUID } from "node:crypto";
import { BridgeError, ThurstoneError, WorkerError } from "../errors.js";
import { decodeMessage, encodeMessage } from "./codec.js";
import type { Limits } from "./codec.js";
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
}

export function createPeer(options: PeerOptions): Peer {
  const { data, control, session, methods, limits = {} } = options;
  const credit = createCredit({ requests: options.maxRequests ?? 64, bytes: options.maxBytes ?? 256 * 2 ** 20 });
  const pending = new Map<string, Pending>();
  /** Bytes to give back once the other end has answered, also for calls nobody waits for any more. */
  const owed = new Map<string, number>();
  const counts = { calls: 0, bytesSent: 0, bytesReceived: 0, dropped: 0, malformed: 0 };
  let failure: ThurstoneError | undefined;

  function fail(error: ThurstoneError): void {
    failure ??= error;
    for (const call of pending.values()) call.reject(error);
    pending.clear();
    for (const bytes of owed.values()) credit.give(bytes);
    owed.clear();
  }

  function receive(frames: Uint8Array[]): void {
    counts.bytesReceived += totalBytes(frames);
    let message: Message;
    try {
      message = decodeMessage(frames, limits);
    } catch (cause) {
      counts.malformed += 1;
      // A reply that cannot be read would leave its call waiting for ever.
      fail(new BridgeError("BRIDGE_MALFORMED", "the worker sent a message that cannot be read.", { cause }));
      return;
    }
    if (message.session !== session) counts.dropped += 1;
    else if (message.kind === "evt") receiveEvent(message);
    else if (message.kind === "res" || message.kind === "err") settle(message);
    else counts.dropped += 1;
  }

  function receiveEvent({ id, method, params }: Message): void {
    if (method === "progress") pending.get(id)?.onProgress?.(params);
    else options.onEvent?.(method!, params);
  }

  function settle(message: Message): void {
    const bytes = owed.get(message.id);
    if (bytes !== undefined) {
      owed.delete(message.id);
      credit.give(bytes);
    }
    const call = pending.get(message.id);
    pending.delete(message.id);
    if (call === undefined) counts.dropped += 1;
    else if (message.error) call.reject(remoteError(message.error, call.method));
    else call.resolve({ result: message.params, tensors: message.tensors });
  }

  function cancel(id: string, error: Error): void {
    const call = pending.get(id);
    if (call === undefined) return;
    pending.delete(id);
    call.reject(error);
    const frames = encodeMessage({ kind: "cancel", id, session, params: {}, tensors: {} });
    // A worker that cannot be reached any more has nothing left to cancel; its death is reported elsewhere.
    control.send(frames).catch(() => undefined);
  }

  const closed = (): void => fail(new BridgeError("BRIDGE_CLOSED", "the connection to the worker was closed."));
  data.start({ onMessage: receive, onClose: closed });
  control.start({ onMessage: receive, onClose: closed });

  return {
    async call(method, params, callOptions = {}) {
      const { tensors = {}, timeout, signal, onProgress } = callOptions;
      if (failure) throw failure;
      if (!Object.hasOwn(methods, method)) {
        throw new BridgeError(
          "METHOD_UNKNOWN",
          `the worker has no method "${method}"; it has ${Object.keys(methods).join(", ")}.`,
        );
      }
      if (signal?.aborted) throw cancelled(method, signal);
      const id = randomUUID();
      const frames = encodeMessage(
        {
          kind: "req",
          id,
          session,
          method,
          params,
          tensors,
          ...(timeout !== undefined && { deadline: Math.ceil(timeout) }),
        },
        limits,
      );
      const bytes = totalBytes(frames);
      try {
        await credit.take(bytes, signal);
      } catch {
        throw cancelled(method, signal);
      }
      if (failure) throw failure;
      counts.calls += 1;
      counts.bytesSent += bytes;
      owed.set(id, bytes);

      const aborted = (): void => cancel(id, cancelled(method, signal));
      const timer =
        timeout === undefined
          ? undefined
          : setTimeout(() => {
              const message = `${method} took longer than the ${timeout} ms it was given.`;
              cancel(id, new BridgeError("BRIDGE_DEADLINE", message, { fields: { method, timeout } }));
            }, timeout);
      try {
        return await new Promise<Reply>((resolve, reject) => {
          pending.set(id, { method, started: performance.now(), resolve, reject, onProgress });
          signal?.addEventListener("abort", aborted, { once: true });
          data.send(frames).catch((error: Error) => {
            pending.delete(id);
            if (owed.delete(id)) credit.give(bytes);
            reject(error);
          });
        });
      } finally {
        clearTimeout(timer);
        signal?.removeEventListener("abort", aborted);
      }
    },

    statistics: () => ({ ...counts, pending: pending.size }),
    pending: () =>
      [...pending.values()].map(({ method, started }) => ({ method, seconds: (performance.now() - started) / 1000 })),
    fail,

    async close() {
      closed();
      await Promise.all([data.close(), control.close()]);
    },
  };
}

function totalBytes(frames: readonly Uint8Array[]): number {
  return frames.reduce((total, frame) => total + frame.byteLength, 0);
}

function cancelled(method: string, signal: AbortSignal | undefined): BridgeError {
  const cause: unknown = signal?.reason;
  return new BridgeError("BRIDGE_CANCELLED", `${method} was cancelled.`, { cause, fields: { method } });
}

/** The error the worker reported, under the worker's own code. */
function remoteError(error: NonNullable<Message["error"]>, method: string): WorkerError {
  const { code, message, retryable, traceback } = error;
  return new WorkerError(code, message, {
    fields: { method, retryable, ...(traceback !== undefined && { traceback }) },
  });
}
