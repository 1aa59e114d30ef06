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
  /** For a socket that other machines reach. Default: none, for ipc and inproc. */
  readonly secure?: SecureOptions;
}

/** CURVE, and what a connection over a network needs besides. */
export interface SecureOptions {
  /** The server's secret key, in Z85. */
  readonly secretKey: string;
  /** Under which the doorkeeper has a list of keys. */
  readonly domain: string;
  /** The connection of a peer has ended, however it did. */
  readonly onLeft: (identity: Buffer) => void;
  /** Called with a sentence for every handshake that failed, but for those the doorkeeper refused. */
  readonly onRefused: (sentence: string) => void;
}

export interface RouterSocket {
  /** Where it is bound: of "tcp://eth0:5700" the interface's number. */
  readonly address: string;
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

/** Milliseconds between signs of life of an idle connection, and after which a silent one has ended. */
const HEARTBEAT = { interval: 5000, timeout: 30_000 };
/** Milliseconds that a stranger may take to say who it is. */
const HANDSHAKE = 5000;

/** Options of libzmq that zeromq.js has no names for. */
const ZAP_ENFORCE_DOMAIN = 93;
const ROUTER_NOTIFY = 97;
const NOTIFY_DISCONNECT = 2;

/** Refuses everybody while the doorkeeper is away, and tells of connections that ended by an empty message. */
class SecureRouter extends Router {
  constructor(options: ConstructorParameters<typeof Router>[0]) {
    super(options);
    this.setBoolOption(ZAP_ENFORCE_DOMAIN, true);
    this.setInt32Option(ROUTER_NOTIFY, NOTIFY_DISCONNECT);
  }
}

export async function bindRouter(options: RouterOptions): Promise<RouterSocket> {
  const { secure } = options;
  const common = {
    mandatory: true,
    linger: 0,
    sendHighWaterMark: QUEUED_MESSAGES,
    receiveHighWaterMark: QUEUED_MESSAGES,
    maxMessageSize: options.maxMessageBytes,
    ipv6: options.address.includes("["),
  };
  const socket = secure === undefined ? new Router(common) : secureRouter(common, secure);
  try {
    await socket.bind(options.address);
  } catch (error) {
    socket.close();
    throw error;
  }

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
      for await (const [identity, ...frames] of socket) {
        if (secure !== undefined && frames.length === 1 && frames[0]!.length === 0) secure.onLeft(identity!);
        else options.onMessage(identity!, frames);
      }
    } catch (error) {
      if (!closed) options.onFailure(error instanceof Error ? error : new Error(String(error)));
    }
  }
  void read();

  return {
    address: socket.lastEndpoint ?? options.address,
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

function secureRouter(common: ConstructorParameters<typeof Router>[0], secure: SecureOptions): Router {
  const router = new SecureRouter({
    ...common,
    curveServer: true,
    curveSecretKey: secure.secretKey,
    zapDomain: secure.domain,
    handshakeInterval: HANDSHAKE,
    heartbeatInterval: HEARTBEAT.interval,
    heartbeatTimeout: HEARTBEAT.timeout,
  });
  router.events.on("handshake:error:protocol", ({ error }) => secure.onRefused(handshakeFailure(error.code)));
  router.events.on("handshake:error:other", ({ error }) => secure.onRefused(handshakeFailure(error.code)));
  return router;
}

function handshakeFailure(code: string | undefined): string {
  const why =
    code === "ERR_ZMTP_MECHANISM_MISMATCH"
      ? "it does not use CURVE"
      : code === "ERR_ZMTP_CRYPTOGRAPHIC"
        ? "it has another key of this control plane, or not the secret of its own"
        : "it did not complete the handshake";
  return `refused a connection: ${why} (${code ?? "no code"})`;
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
