/**
 * Reads a header: msgpack, less everything a header may not hold.
 *
 * A reader of our own rather than a library's, because it must allocate nothing from a length that is only claimed, give
 * up on deep nesting, and tell apart what other decoders convert in silence: extension types, broken UTF-8, keys that are
 * not strings, integers of more than 53 bits. Format: https://github.com/msgpack/msgpack/blob/master/spec.md
 *
 * @module
 */
import { MAX_DEPTH } from "./message.js";
import type { Plain, PlainMap } from "./types.js";
import { WireProblem } from "./wire-problem.js";

/** @throws WireProblem HEADER_MALFORMED, or HEADER_FIELD with the id where only the values are at fault */
export function readMsgpackMap(bytes: Uint8Array): PlainMap {
  const reader = createReader(bytes);
  const header = reader.value(0);
  if (!reader.atEnd()) throw malformed("bytes follow the end of its map");
  if (typeof header !== "object" || header === null || Array.isArray(header)) throw malformed("it is not a map");
  const problem = reader.problem();
  if (problem !== undefined) throw new WireProblem("HEADER_FIELD", problem, header as PlainMap);
  return header as PlainMap;
}

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
/** Up to this many bytes a loop over ASCII is faster than the decoder. */
const SHORT_TEXT = 32;

interface Reader {
  value(depth: number): Plain;
  atEnd(): boolean;
  /** The first value that is well-formed but may not travel. */
  problem(): string | undefined;
}

function createReader(bytes: Uint8Array): Reader {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const end = bytes.byteLength;
  let at = 0;
  let problem: string | undefined;

  /** Steps over `size` bytes that must be there; returns where they begin. */
  function step(size: number): number {
    if (size > end - at) throw malformed("it ends within a value");
    const start = at;
    at += size;
    return start;
  }

  function text(size: number): string {
    const start = step(size);
    if (size <= SHORT_TEXT) {
      let ascii = "";
      for (let index = start; index < at && bytes[index]! < 0x80; index += 1)
        ascii += String.fromCharCode(bytes[index]!);
      if (ascii.length === size) return ascii;
    }
    try {
      return utf8.decode(bytes.subarray(start, at));
    } catch {
      throw malformed("a string is not UTF-8");
    }
  }

  function list(size: number, depth: number): Plain[] {
    descend(size, depth);
    const items: Plain[] = [];
    for (let index = 0; index < size; index += 1) items.push(value(depth + 1));
    return items;
  }

  function map(size: number, depth: number): PlainMap {
    descend(2 * size, depth);
    const fields: Record<string, Plain> = {};
    for (let index = 0; index < size; index += 1) {
      const key = value(depth + 1);
      if (typeof key !== "string") throw malformed("a map has a key that is not a string");
      const field = value(depth + 1);
      // Assigning this one name would change the prototype.
      if (key === "__proto__") Object.defineProperty(fields, key, { ...OWN_FIELD, value: field });
      else fields[key] = field;
    }
    return fields;
  }

  /** Every element takes at least a byte, so a count beyond the bytes left is a lie. */
  function descend(elements: number, depth: number): void {
    if (elements > end - at) throw malformed("it ends within a list or map");
    if (depth >= MAX_DEPTH) throw malformed(`it is nested deeper than ${MAX_DEPTH} levels`);
  }

  function binary(size: number): null {
    step(size);
    problem ??= "bytes cannot travel in a header; they are sent as tensors";
    return null;
  }

  function wide(integer: bigint): number {
    const number = Number(integer);
    if (!Number.isSafeInteger(number)) problem ??= `integer ${integer} has more than 53 bits`;
    return number;
  }

  function value(depth: number): Plain {
    const type = bytes[step(1)]!;
    if (type < 0x80) return type;
    if (type < 0x90) return map(type & 0x0f, depth);
    if (type < 0xa0) return list(type & 0x0f, depth);
    if (type < 0xc0) return text(type & 0x1f);
    if (type >= 0xe0) return type - 0x100;
    switch (type) {
      case 0xc0:
        return null;
      case 0xc2:
        return false;
      case 0xc3:
        return true;
      case 0xc4:
        return binary(view.getUint8(step(1)));
      case 0xc5:
        return binary(view.getUint16(step(2)));
      case 0xc6:
        return binary(view.getUint32(step(4)));
      case 0xca:
        return view.getFloat32(step(4));
      case 0xcb:
        return view.getFloat64(step(8));
      case 0xcc:
        return view.getUint8(step(1));
      case 0xcd:
        return view.getUint16(step(2));
      case 0xce:
        return view.getUint32(step(4));
      case 0xcf:
        return wide(view.getBigUint64(step(8)));
      case 0xd0:
        return view.getInt8(step(1));
      case 0xd1:
        return view.getInt16(step(2));
      case 0xd2:
        return view.getInt32(step(4));
      case 0xd3:
        return wide(view.getBigInt64(step(8)));
      case 0xd9:
        return text(view.getUint8(step(1)));
      case 0xda:
        return text(view.getUint16(step(2)));
      case 0xdb:
        return text(view.getUint32(step(4)));
      case 0xdc:
        return list(view.getUint16(step(2)), depth);
      case 0xdd:
        return list(view.getUint32(step(4)), depth);
      case 0xde:
        return map(view.getUint16(step(2)), depth);
      case 0xdf:
        return map(view.getUint32(step(4)), depth);
      default:
        throw malformed(type === 0xc1 ? "0xc1 begins no value" : "it holds an extension type");
    }
  }

  return { value, atEnd: () => at === end, problem: () => problem };
}

const OWN_FIELD = { enumerable: true, configurable: true, writable: true };

function malformed(why: string): WireProblem {
  return new WireProblem("HEADER_MALFORMED", `the header is no complete msgpack map: ${why}.`);
}
