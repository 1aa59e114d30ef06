/**
 * The answering end in TypeScript: what a worker does, for workers that live in this process.
 *
 * @module
 */
import { ThurstoneError } from "../errors.js";
import { decodeMessage, encodeMessage } from "./codec.js";
import type { Message } from "./message.js";
import type { Transport } from "./transport.js";
import type { MethodKind, PlainMap, Reply, Tensors } from "./types.js";

export interface HandlerContext {
  /** Aborted when the caller cancels. */
  readonly signal: AbortSignal;
  progress(fields: PlainMap): void;
}

export interface Method {
  readonly kind: MethodKind;
  handle(params: PlainMap, tensors: Tensors, context: HandlerContext): Promise<Reply> | Reply;
}

export interface ResponderOptions {
  readonly data: Transport;
  readonly control: Transport;
  readonly session: string;
  readonly methods: Readonly<Record<string, Method>>;
}

/** Replies of stateful methods kept, so that a repeated id gets its reply and is not run twice. */
const STORED_REPLIES = 64;
/** Cancellations kept that arrived before their request. */
const EARLY_CANCELS = 1024;

/** Answers requests one after another, in the order of their arrival, until the transports close. */
export function createResponder({ data, control, session, methods }: ResponderOptions): void {
  const running = new Map<string, AbortController>();
  const early = new Set<string>();
  const stored = new Map<string, Uint8Array[]>();
  let last: Promise<void> = Promise.resolve();

  const reply = (message: Omit<Message, "session">): Uint8Array[] => encodeMessage({ ...message, session });
  // The other end may have closed while this one worked: then nobody waits for the answer.
  const send = (frames: Uint8Array[]): void => void data.send(frames).catch(() => undefined);

  async function answer(request: Message, controller: AbortController): Promise<void> {
    const method = methods[request.method!];
    let frames: Uint8Array[];
    try {
      controller.signal.throwIfAborted();
      if (method === undefined) throw new ThurstoneError("METHOD_UNKNOWN", `there is no method "${request.method}".`);
      const { result, tensors } = await method.handle(request.params, request.tensors, {
        signal: controller.signal,
        progress: (fields) =>
          send(reply({ kind: "evt", id: request.id, method: "progress", params: fields, tensors: {} })),
      });
      frames = reply({ kind: "res", id: request.id, params: result, tensors });
    } catch (error) {
      frames = reply({ kind: "err", id: request.id, params: {}, tensors: {}, error: errorFields(error, controller) });
    }
    running.delete(request.id);
    if (method?.kind === "stateful") {
      stored.set(request.id, frames);
      if (stored.size > STORED_REPLIES) stored.delete(stored.keys().next().value!);
    }
    send(frames);
  }

  data.start({
    onMessage(frames) {
      const request = decodeMessage(frames);
      if (request.kind !== "req" || request.session !== session || running.has(request.id)) return;
      const known = stored.get(request.id);
      if (known) return send(known);
      const controller = new AbortController();
      if (early.delete(request.id)) controller.abort();
      running.set(request.id, controller);
      last = last.then(() => answer(request, controller));
    },
    onClose: () => {
      for (const controller of running.values()) controller.abort();
    },
  });
  control.start({
    onMessage(frames) {
      const message = decodeMessage(frames);
      if (message.kind !== "cancel" || message.session !== session) return;
      const controller = running.get(message.id);
      if (controller) controller.abort();
      else if (early.size < EARLY_CANCELS) early.add(message.id);
    },
    onClose: () => undefined,
  });
}

function errorFields(error: unknown, controller: AbortController): NonNullable<Message["error"]> {
  if (controller.signal.aborted) return { code: "CANCELLED", message: "the request was cancelled.", retryable: true };
  const code = ThurstoneError.isInstance(error) ? error.code : "WORKER_EXCEPTION";
  const message = error instanceof Error ? error.message : String(error);
  const traceback = error instanceof Error ? error.stack : undefined;
  return { code, message, retryable: false, ...(traceback !== undefined && { traceback }) };
}
