/**
 * Two transports that are each other's other end, within one process. Frames are copied, as a socket would.
 *
 * @module
 */
import { BridgeError } from "../errors.js";
import type { Transport, TransportHandlers } from "./transport.js";

/** A linked pair: what one end sends, the other receives, each message in a turn of its own. */
export function createMemoryPair(): [Transport, Transport] {
  const left = createInbox();
  const right = createInbox();
  return [createEnd(left, right), createEnd(right, left)];
}

interface Inbox {
  start(handlers: TransportHandlers): void;
  deliver(frames: Uint8Array[]): void;
  close(): void;
  readonly closed: boolean;
}

function createInbox(): Inbox {
  let handlers: TransportHandlers | undefined;
  let waiting: Uint8Array[][] = [];
  let closed = false;
  return {
    get closed() {
      return closed;
    },
    start(given) {
      handlers = given;
      for (const frames of waiting) given.onMessage(frames);
      waiting = [];
      if (closed) given.onClose();
    },
    deliver(frames) {
      if (closed) return;
      if (handlers === undefined) waiting.push(frames);
      else handlers.onMessage(frames);
    },
    close() {
      if (closed) return;
      closed = true;
      handlers?.onClose();
    },
  };
}

function createEnd(own: Inbox, other: Inbox): Transport {
  return {
    start: (handlers) => own.start(handlers),
    async send(frames) {
      if (own.closed) throw new BridgeError("BRIDGE_CLOSED", "the connection is closed; nothing can be sent any more.");
      const copies = frames.map((frame) => new Uint8Array(frame));
      setImmediate(() => other.deliver(copies));
    },
    async close() {
      own.close();
      other.close();
    },
  };
}
