/**
 * Decides which CURVE keys are let in, for every socket of this process that asks: the handler of ZeroMQ's authentication
 * protocol (RFC 27, ZAP).
 *
 * CURVE alone lets any key in. What keeps strangers out is this handler, its list, and that sockets refuse everybody while
 * it is not there (`ZAP_ENFORCE_DOMAIN` with a domain that is not empty). libzmq looks for one handler per process, so all
 * lists share it; it lives as long as one of them.
 *
 * @module
 */
import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { Reply } from "zeromq";
import { BridgeError } from "../errors.js";

export interface GuardOptions {
  /** Public keys that are let in, in Z85, and whose they are. */
  readonly keys: ReadonlyMap<string, string>;
  /** Called with a sentence for every key that was turned away. */
  readonly onRefused: (sentence: string) => void;
}

/** A list in force. */
export interface Guard {
  /** What a socket gives as its ZAP domain. */
  readonly domain: string;
  /** From now on nobody is let in under this domain. */
  close(): void;
}

const HANDLER = "inproc://zeromq.zap.01";
/** Milliseconds in which libzmq must have let go of the name that a handler before this one had. */
const LIMIT = 2000;
const guards = new Map<string, GuardOptions>();
let handler: Promise<Reply> | undefined;

/**
 * Puts a list in force. To be awaited before the socket it is for is bound.
 *
 * @throws BridgeError LISTEN_FAILED when something else in this process answers for ZeroMQ's authentication
 */
export async function guardDomain(options: GuardOptions): Promise<Guard> {
  const domain = `thurstone-${randomUUID()}`;
  guards.set(domain, options);
  try {
    await (handler ??= openHandler());
  } catch (error) {
    guards.delete(domain);
    handler = undefined;
    throw error;
  }
  return {
    domain,
    close() {
      guards.delete(domain);
      if (guards.size > 0 || handler === undefined) return;
      void handler.then((socket) => socket.close());
      handler = undefined;
    },
  };
}

async function openHandler(): Promise<Reply> {
  const socket = new Reply({ linger: 0 });
  for (const began = performance.now(); ; await sleep(5)) {
    try {
      await socket.bind(HANDLER);
      break;
    } catch (cause) {
      if (performance.now() - began < LIMIT) continue;
      socket.close();
      throw new BridgeError(
        "LISTEN_FAILED",
        `keys cannot be checked, because ${HANDLER} cannot be had: something else in this process answers there.`,
        { cause },
      );
    }
  }
  answer(socket).catch((error: unknown) => {
    // From here on nobody is let in.
    if (!socket.closed) guards.forEach((guard) => guard.onRefused(`no key can be checked any more: ${String(error)}`));
  });
  return socket;
}

async function answer(socket: Reply): Promise<void> {
  for await (const [version, request, domain, address, , mechanism, key] of socket) {
    const guard = guards.get(String(domain));
    const text = key?.length === 32 && String(mechanism) === "CURVE" ? toZ85(key) : undefined;
    const welcome = guard !== undefined && text !== undefined && guard.keys.has(text);
    if (!welcome) guard?.onRefused(`refused ${String(address)}: its key ${text ?? "(none)"} is not listed`);
    await socket.send([version!, request!, ...(welcome ? ["200", "OK"] : ["400", "not listed"]), "", ""]);
  }
}

const Z85 = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#";

/** Z85 (RFC 32): five characters for four bytes. */
export function toZ85(bytes: Buffer): string {
  let text = "";
  for (let at = 0; at < bytes.length; at += 4) {
    let value = bytes.readUInt32BE(at);
    let group = "";
    for (let digit = 0; digit < 5; digit += 1) {
      group = Z85[value % 85]! + group;
      value = Math.floor(value / 85);
    }
    text += group;
  }
  return text;
}
