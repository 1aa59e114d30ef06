/**
 * One message of the protocol (docs/protocol.md, section 1), and what may stand in its header.
 *
 * @module
 */
import { BridgeError } from "../errors.js";
import type { Plain, PlainMap, Tensors } from "./types.js";

export const MESSAGE_KINDS = ["req", "res", "err", "evt", "cancel", "hello", "bye"] as const;
export type MessageKind = (typeof MESSAGE_KINDS)[number];

/** The error a peer reports. */
export interface WireErrorFields {
  readonly code: string;
  readonly message: string;
  readonly retryable: boolean;
  readonly traceback?: string;
}

export interface Message {
  readonly kind: MessageKind;
  /** Names the logical request; a retry keeps it. */
  readonly id: string;
  /** Launch id; messages of another launch are dropped. */
  readonly session: string;
  /** Method of a request, name of an event. */
  readonly method?: string;
  /** Milliseconds left when it was sent. */
  readonly deadline?: number;
  readonly params: PlainMap;
  readonly tensors: Tensors;
  /** Only on kind "err". */
  readonly error?: WireErrorFields;
}

/** Longest id, launch id, method and tensor name, in characters (code points). */
export const MAX_NAME_LENGTH = 64;

/** Deepest nesting, the header's own map being the first level: far above any use, far below what exhausts a stack. */
export const MAX_DEPTH = 128;

/** Half of a character: it has no UTF-8. */
const LONE_SURROGATE = /\p{Surrogate}/u;

export function isName(value: unknown): value is string {
  if (typeof value !== "string" || value === "") return false;
  return (
    value.length <= MAX_NAME_LENGTH || Array.from(value.slice(0, 2 * MAX_NAME_LENGTH + 1)).length <= MAX_NAME_LENGTH
  );
}

/** @throws BridgeError HEADER_FIELD */
export function checkName(value: string, field: string): void {
  if (!isName(value)) throw refused(field, `it must be a string of 1 to ${MAX_NAME_LENGTH} characters`);
  checkText(value, field);
}

/**
 * Refuses what would not arrive as it was sent: typed arrays are corrupted by msgpack, undefined becomes an extension.
 *
 * @param path of the value, for the message
 * @param depth levels around the value
 * @throws BridgeError HEADER_FIELD naming the field
 */
export function checkPlain(value: unknown, path: string, depth = 1): void {
  if (value === null || typeof value === "boolean" || typeof value === "number") return;
  if (typeof value === "string") return checkText(value, path);
  if (depth >= MAX_DEPTH) throw refused(path, `it is nested deeper than ${MAX_DEPTH} levels`);
  if (Array.isArray(value)) {
    for (let index = 0; index < value.length; index += 1) checkPlain(value[index], `${path}[${index}]`, depth + 1);
    return;
  }
  if (typeof value !== "object" || !isPlainObject(value)) {
    const kind = typeof value === "object" ? (value.constructor?.name ?? "object") : typeof value;
    throw refused(
      path,
      `a ${kind} cannot travel in a header; send numbers in bulk as tensors and leave absent fields out`,
    );
  }
  for (const [key, one] of Object.entries(value)) {
    checkText(key, path);
    checkPlain(one, `${path}.${key}`, depth + 1);
  }
}

function checkText(text: string, path: string): void {
  if (LONE_SURROGATE.test(text)) {
    throw refused(path, "its text has half a surrogate pair, which has no UTF-8; replace it with toWellFormed()");
  }
}

function isPlainObject(value: object): value is Record<string, Plain> {
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}

function refused(path: string, why: string): BridgeError {
  return new BridgeError("HEADER_FIELD", `${path} cannot be sent: ${why}.`, { fields: { path } });
}
