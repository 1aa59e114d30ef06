/**
 * The answering end in TypeScript: what a worker does, for workers that live in this process.
 *
 * @module
 */
import { BridgeError, ThurstoneError } from "../errors.js";
import { decodeMessage, encodeMessage } from "./codec.js";
import type { Message, WireErrorFields } from "./message.js";
import type { Transport } from "./transport.js";
import type { MethodKind, PlainMap, Reply, Tensors } from "./types.js";

export interface HandlerContext {
  /** Aborted when the caller cancels, or when the time given to the request is over. */
  readonly signal: AbortSignal;
  /** Sends a progress event to the caller. */
  readonly progress: (fields: PlainMap) => void;
}

export interface Method {
  readonly kind: MethodKind;
  handle(params: PlainMap, tensors: Tensors, context: HandlerContext): Promise<Reply> | Reply;
}

export interface ResponderOptions {
  readonly data: Transport;
  readonly control: Transport;
  /** Launch id; messages of another launch are dropped. */
  readonly session: string;
  readonly methods: Readonly<Record<string, Method>>;
}

/** Replies of stateful methods kept, so that a repeated id gets its reply and is not run twice. */
const STORED_REPLIES = 64;
/** Cancellations kept that arrived before their request. */
const EARLY_CANCELS = 1024;

/** A request on its way. */
interface Work {
  readonly request: Message;
  readonly controller: AbortController;
  state: "waiting" | "running" | "answered";
}

/** Answers requests one after another, in the order of their arrival, until the transports close. */
export function createResponder({ data, control, session, methods }: ResponderOptions): void {
  const open = new Map<string, Work>();
  const early = new Map<string, true>();
  const stored = new Map<string, Uint8Array[]>();
  let last: Promise<void> = Promise.resolve();

  // The other end may have closed while this one worked: then nobody waits for the answer.
  const send = (frames: Uint8Array[]): void => void data.send(frames).catch(() => undefined);
  const refusal = (id: string, error: unknown): Uint8Array[] =>
    encodeMessage({ kind: "err", id, session, params: {}, tensors: {}, error: errorFields(error) });

  function admit(request: Message): void {
    const known = stored.get(request.id);
    if (known) return send(known);
    if (open.has(request.id)) return;
    const work: Work = { request, controller: new AbortController(), state: "waiting" };
    open.set(request.id, work);
    if (early.delete(request.id)) cancel(work);
    last = last.then(() => run(work));
  }

  /** What waits is answered at once, what runs is asked to stop. */
  function cancel(work: Work): void {
    const error = new BridgeError("CANCELLED", "the caller cancelled this request.");
    work.controller.abort(error);
    if (work.state === "waiting") finish(work, refusal(work.request.id, error));
  }

  async function run(work: Work): Promise<void> {
    if (work.state === "answered") return;
    work.state = "running";
    const { id, params, tensors } = work.request;
    const { signal } = work.controller;
    const timer = limitTime(work);
    try {
      const progress = (fields: PlainMap): void =>
        send(encodeMessage({ kind: "evt", id, session, method: "progress", params: fields, tensors: {} }));
      const reply = await methodOf(work).handle(params, tensors, { signal, progress });
      finish(work, encodeMessage({ kind: "res", id, session, params: reply.result, tensors: reply.tensors }));
    } catch (error) {
      finish(work, refusal(id, signal.aborted ? signal.reason : error));
    } finally {
      clearTimeout(timer);
    }
  }

  function methodOf({ request: { method } }: Work): Method {
    if (Object.hasOwn(methods, method!)) return methods[method!]!;
    throw new BridgeError("METHOD_UNKNOWN", `there is no method "${method}".`);
  }

  function finish(work: Work, frames: Uint8Array[]): void {
    const { id, method } = work.request;
    work.state = "answered";
    open.delete(id);
    if (methods[method!]?.kind === "stateful") remember(stored, id, frames, STORED_REPLIES);
    send(frames);
  }

  /** Garbage is answered where it names a request of this launch, and dropped otherwise. */
  function receive(frames: Uint8Array[], take: (message: Message) => void): void {
    let message: Message;
    try {
      message = decodeMessage(frames);
    } catch (error) {
      const { id, session: launch } = (error as BridgeError).fields;
      if (typeof id === "string" && launch === session) send(refusal(id, error));
      return;
    }
    if (message.session === session) take(message);
  }

  data.start({
    onMessage: (frames) =>
      receive(frames, (message) => {
        if (message.kind === "req") admit(message);
      }),
    onClose: () => {
      for (const work of open.values()) cancel(work);
    },
  });
  control.start({
    onMessage: (frames) =>
      receive(frames, ({ kind, id }) => {
        if (kind !== "cancel") return;
        const work = open.get(id);
        if (work) cancel(work);
        else remember(early, id, true, EARLY_CANCELS);
      }),
    onClose: () => undefined,
  });
}

/** Aborts the work when its time is over. */
function limitTime({ request: { deadline }, controller }: Work): NodeJS.Timeout | undefined {
  if (deadline === undefined) return undefined;
  const error = new BridgeError("DEADLINE", "the time given to this request ran out.");
  return setTimeout(() => controller.abort(error), deadline);
}

/** Adds to a map that forgets its oldest entry above `most`. */
function remember<Value>(map: Map<string, Value>, id: string, value: Value, most: number): void {
  map.set(id, value);
  if (map.size > most) map.delete(map.keys().next().value!);
}

/** Longest error message and traceback sent, in characters; a header has 1 MiB for everything. */
const LONGEST_MESSAGE = 8 * 1024;
const LONGEST_TRACEBACK = 16 * 1024;

/** What travels of an error. Refusals of the bridge carry no traceback: their message says all there is. */
function errorFields(error: unknown): WireErrorFields {
  const code = ThurstoneError.isInstance(error) ? error.code : "WORKER_EXCEPTION";
  const message = sendable((error instanceof Error ? error.message : String(error)).slice(0, LONGEST_MESSAGE));
  if (!(error instanceof Error) || error instanceof BridgeError) return { code, message, retryable: false };
  return { code, message, retryable: false, traceback: sendable((error.stack ?? "").slice(0, LONGEST_TRACEBACK)) };
}

/** Without half characters, which UTF-8 cannot hold. */
function sendable(text: string): string {
  return Buffer.from(text).toString();
}
