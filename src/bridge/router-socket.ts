/**
 * A ZeroMQ ROUTER with one writer queue and one reader loop, as zeromq.js needs it: a second send or receive at the same
 * time throws.
 *
 * @module
 */
import { Router } from "zeromq";
import { BridgeError } from "../errors.js";

export interface RouterOptions {
  /** Where to bind, for example "ipc:///tmp/x/data". */
  readonly address: string;
  /** Largest frame accepted; a peer that sends a larger one is disconnected. */
  readonly maxMessageBytes: number;
  readonly onMessage: (identity: Buffer, frames: Uint8Array[]) => void;
  /** The reader loop ended by itself, which only a failure does. */
  readonly onFailure: (error: Error) => void;
}

export interface RouterSocket {
  send(identity: Buffer, frames: readonly Uint8Array[]): Promise<void>;
  close(): void;
}

/** Messages queued for one peer at most. Callers keep fewer in flight: a full queue answers EAGAIN at once. */
const QUEUED_MESSAGES = 1000;
/** Milliseconds until a full queue is tried again. */
const RETRY_DELAY = 5;

interface Waiting {
  readonly frames: Uint8Array[];
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

export async function bindRouter(options: RouterOptions): Promise<RouterSocket> {
  const socket = new Router({
    mandatory: true,
    linger: 0,
    sendHighWaterMark: QUEUED_MESSAGES,
    receiveHighWaterMark: QUEUED_MESSAGES,
    maxMessageSize: options.maxMessageBytes,
  });
  await socket.bind(options.address);

  const queue: Waiting[] = [];
  let writing = false;
  let closed = false;

  async function write(): Promise<void> {
    if (writing) return;
    writing = true;
    for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
      try {
        await sendWhenFree(next.frames);
        next.resolve();
      } catch (error) {
        next.reject(sendFailure(error, closed));
      }
    }
    writing = false;
  }

  async function sendWhenFree(frames: Uint8Array[]): Promise<void> {
    for (;;) {
      try {
        return await socket.send(frames);
      } catch (error) {
        if (closed || codeOf(error) !== "EAGAIN") throw error;
        await new Promise((resolve) => setTimeout(resolve, RETRY_DELAY));
      }
    }
  }

  async function read(): Promise<void> {
    try {
      for await (const [identity, ...frames] of socket) options.onMessage(identity!, frames);
    } catch (error) {
      if (!closed) options.onFailure(error instanceof Error ? error : new Error(String(error)));
    }
  }
  void read();

  return {
    send(identity, frames) {
      if (closed) return Promise.reject(sendFailure(undefined, true));
      return new Promise((resolve, reject) => {
        queue.push({ frames: [identity, ...frames], resolve, reject });
        void write();
      });
    },
    close() {
      if (closed) return;
      closed = true;
      socket.close();
    },
  };
}

function codeOf(error: unknown): unknown {
  return error instanceof Error ? (error as NodeJS.ErrnoException).code : undefined;
}

function sendFailure(cause: unknown, closed: boolean): BridgeError {
  if (closed)
    return new BridgeError("BRIDGE_CLOSED", "the connection is closed; nothing can be sent any more.", { cause });
  if (codeOf(cause) === "EHOSTUNREACH") {
    return new BridgeError("BRIDGE_UNREACHABLE", "the peer is not connected: it has not started yet, or it is gone.", {
      cause,
    });
  }
  return new BridgeError("BRIDGE_SEND_FAILED", `the message could not be sent: ${String(cause)}`, { cause });
}
