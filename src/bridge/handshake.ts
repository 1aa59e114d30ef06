/**
 * Judges the first message of a worker on a socket: right launch, right token, right protocol.
 *
 * @module
 */
import { createHash, timingSafeEqual } from "node:crypto";
import { z } from "zod";
import { WorkerError } from "../errors.js";
import { decodeMessage, PROTOCOL_VERSION } from "./codec.js";
import type { Message } from "./message.js";

const count = z.number().int().nonnegative();

const helloSchema = z.object({
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
export type Hello = z.output<typeof helloSchema>;

export type Channel = "data" | "control";

/** Whom a socket waits for. */
export interface Expected {
  readonly session: string;
  readonly token: string;
  readonly rank: number;
  readonly channel: Channel;
}

export type Verdict =
  | { readonly kind: "welcome"; readonly id: string; readonly hello: Hello }
  /** The worker of this launch, which must not be talked to. */
  | { readonly kind: "mismatch"; readonly id: string; readonly error: WorkerError }
  /** A greeting of somebody who does not know the token. */
  | { readonly kind: "intruder"; readonly id: string }
  | { readonly kind: "garbage" };

export function judgeHello(frames: readonly Uint8Array[], expected: Expected): Verdict {
  const message = readable(frames);
  if (message?.kind !== "hello" || message.session !== expected.session) return { kind: "garbage" };
  const { id, params } = message;
  const { token } = params;
  if (typeof token !== "string" || !sameSecret(token, expected.token)) return { kind: "intruder", id };

  const { channel, rank } = expected;
  const wanted = `protocol ${PROTOCOL_VERSION.join(".")}, role ${channel}, rank ${rank}`;
  const { success, data: hello } = helloSchema.safeParse(params);
  if (!success) return { kind: "mismatch", id, error: mismatch("sent a greeting that cannot be understood", wanted) };
  if (hello.protocol[0] !== PROTOCOL_VERSION[0] || hello.role !== channel || hello.rank !== rank) {
    const said = `protocol ${hello.protocol.join(".")}, role ${hello.role}, rank ${hello.rank}`;
    return { kind: "mismatch", id, error: mismatch(`(runtime ${hello.runtime}) says ${said}`, wanted) };
  }
  return { kind: "welcome", id, hello };
}

function mismatch(said: string, wanted: string): WorkerError {
  return new WorkerError(
    "WORKER_MISMATCH",
    `the worker ${said}; expected ${wanted}. Install the Python side that belongs to this package: thurstone setup.`,
  );
}

/** Undefined for what cannot be read. */
export function readable(frames: readonly Uint8Array[]): Message | undefined {
  try {
    return decodeMessage(frames);
  } catch {
    // Garbage of a stranger; the caller counts it, or tells of it.
    return undefined;
  }
}

/** Takes the same time wherever the two differ. */
function sameSecret(given: string, expected: string): boolean {
  const digest = (text: string): Buffer => createHash("sha256").update(text).digest();
  return timingSafeEqual(digest(given), digest(expected));
}
