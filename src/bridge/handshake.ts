/**
 * Greets a worker on both sockets: right token, right protocol, then its identity is the only one listened to.
 *
 * @module
 */
import { createHash, timingSafeEqual } from "node:crypto";
import { z } from "zod";
import { WorkerError } from "../errors.js";
import { decodeMessage, encodeMessage, PROTOCOL_VERSION } from "./codec.js";
import type { Message } from "./message.js";

const count = z.number().int().nonnegative();

const helloSchema = z.object({
  token: z.string(),
  role: z.enum(["data", "control"]),
  rank: count,
  pid: count,
  protocol: z.tuple([count, count]),
  runtime: z.string(),
  python: z.string(),
  methods: z.record(z.string(), z.enum(["pure", "stateful"])),
  dtypes: z.array(z.string()),
});

/** What a worker says of itself. */
export type Hello = Omit<z.output<typeof helloSchema>, "token">;

export type Channel = "data" | "control";

export interface Greeting {
  readonly hello: Hello;
  readonly identity: Buffer;
}

export interface HandshakeOptions {
  readonly session: string;
  readonly token: string;
  readonly rank: number;
  readonly send: (channel: Channel, identity: Buffer, frames: Uint8Array[]) => Promise<void>;
  /** Both sockets were greeted. */
  readonly onReady: (data: Greeting, control: Greeting) => void;
  /** The worker is one that must not be talked to. */
  readonly onRefused: (error: WorkerError) => void;
}

/** @returns a function that takes every message that arrives before the worker is known; true when it was a greeting */
export function createHandshake(options: HandshakeOptions) {
  const greeted: Partial<Record<Channel, Greeting>> = {};

  return (channel: Channel, identity: Buffer, frames: Uint8Array[]): boolean => {
    const message = readable(frames);
    if (message?.kind !== "hello" || message.session !== options.session) return false;
    const parsed = helloSchema.safeParse(message.params);
    // A stranger who does not know the token learns nothing, not even that there is one.
    if (!parsed.success || !sameSecret(parsed.data.token, options.token)) {
      void refuse(channel, identity, message, "HELLO_TOKEN", "unknown token");
      return false;
    }
    const { token: _secret, ...hello } = parsed.data;
    if (hello.protocol[0] !== PROTOCOL_VERSION[0] || hello.role !== channel || hello.rank !== options.rank) {
      const text = `protocol ${hello.protocol.join(".")}, role ${hello.role}, rank ${hello.rank}`;
      void refuse(channel, identity, message, "HELLO_VERSION", text);
      options.onRefused(
        new WorkerError(
          "WORKER_MISMATCH",
          `the worker (runtime ${hello.runtime}) says ${text}; expected protocol ${PROTOCOL_VERSION.join(".")}, role ${channel}, rank ${options.rank}. Install the Python side that belongs to this package: thurstone setup.`,
        ),
      );
      return true;
    }
    greeted[channel] = { hello, identity };
    const welcome = encodeMessage({ kind: "hello", id: message.id, session: options.session, params: {}, tensors: {} });
    void options.send(channel, identity, welcome).catch(() => undefined);
    if (greeted.data && greeted.control) options.onReady(greeted.data, greeted.control);
    return true;
  };

  async function refuse(
    channel: Channel,
    identity: Buffer,
    message: Message,
    code: string,
    text: string,
  ): Promise<void> {
    const error = { code, message: text, retryable: false };
    const frames = encodeMessage({
      kind: "err",
      id: message.id,
      session: options.session,
      params: {},
      tensors: {},
      error,
    });
    await options.send(channel, identity, frames).catch(() => undefined);
  }
}

function readable(frames: Uint8Array[]): Message | undefined {
  try {
    return decodeMessage(frames);
  } catch {
    // Garbage from a stranger; the caller counts it.
    return undefined;
  }
}

/** Takes the same time wherever the two differ. */
function sameSecret(given: string, expected: string): boolean {
  const digest = (text: string): Buffer => createHash("sha256").update(text).digest();
  return timingSafeEqual(digest(given), digest(expected));
}
