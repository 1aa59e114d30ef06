/**
 * Reads a decoded header: every field checked, every tensor matched with its frame.
 *
 * @module
 */
import { isName, MAX_NAME_LENGTH, MESSAGE_KINDS } from "./message.js";
import type { Message, MessageKind, WireErrorFields } from "./message.js";
import { elementCount, ELEMENT_TYPES, isDType, MAX_RANK, viewOf } from "./tensor.js";
import type { Plain, PlainMap, Tensor } from "./types.js";
import { WireProblem } from "./wire-problem.js";

export interface HeaderRules {
  readonly major: number;
  readonly maxTensors: number;
}

/** @throws WireProblem with the code of docs/protocol.md */
export function readHeader(header: PlainMap, frames: readonly Uint8Array[], rules: HeaderRules): Message {
  const version = header["v"];
  if (!Array.isArray(version) || version.length !== 2 || !version.every(isCount)) {
    throw new WireProblem("HEADER_FIELD", '"v" must be [major, minor].');
  }
  if (version[0] !== rules.major) {
    throw new WireProblem("FRAME_VERSION", `major version ${String(version[0])}; this side speaks ${rules.major}.`);
  }
  const kind = header["t"] as MessageKind;
  if (!MESSAGE_KINDS.includes(kind)) {
    throw new WireProblem("HEADER_FIELD", `"t" must be one of ${MESSAGE_KINDS.join(", ")}.`);
  }
  const named = Object.hasOwn(header, "m") || kind === "req" || kind === "evt";
  const deadline = header["dl"];
  if (deadline !== undefined && !isCount(deadline)) {
    throw new WireProblem("HEADER_FIELD", '"dl" must be an integer of milliseconds, 0 or more.');
  }
  const { p: params = {}, x: entries = [] } = header;
  if (!isMap(params)) throw new WireProblem("HEADER_FIELD", '"p" must be a map.');
  return {
    kind,
    id: nameIn(header, "id"),
    session: nameIn(header, "s"),
    ...(named && { method: nameIn(header, "m") }),
    ...(deadline !== undefined && { deadline }),
    params,
    ...(kind === "err" && { error: errorIn(header) }),
    tensors: tensorsIn(entries, frames, rules.maxTensors),
  };
}

function isMap(value: Plain | undefined): value is PlainMap {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function nameIn(fields: PlainMap, key: string): string {
  const value = fields[key];
  if (!isName(value)) {
    throw new WireProblem("HEADER_FIELD", `"${key}" must be a string of 1 to ${MAX_NAME_LENGTH} characters.`);
  }
  return value;
}

function errorIn(header: PlainMap): WireErrorFields {
  const error = header["e"];
  const { code, message, retryable, traceback } = isMap(error) ? error : ({} as PlainMap);
  const sound = typeof code === "string" && typeof message === "string" && typeof retryable === "boolean";
  if (!sound || (traceback !== undefined && typeof traceback !== "string")) {
    throw new WireProblem("HEADER_FIELD", '"e" must hold code, message (strings) and retryable (bool).');
  }
  return { code, message, retryable, ...(traceback !== undefined && { traceback }) };
}

function tensorsIn(entries: Plain, frames: readonly Uint8Array[], most: number): Record<string, Tensor> {
  if (!Array.isArray(entries) || !entries.every(isMap)) {
    throw new WireProblem("HEADER_FIELD", '"x" must be a list of maps.');
  }
  if (entries.length !== frames.length) {
    throw new WireProblem(
      "FRAME_COUNT",
      `${entries.length} tensors described, ${frames.length} tensor frames received.`,
    );
  }
  if (entries.length > most) throw new WireProblem("TENSOR_COUNT", `${entries.length} tensors; at most ${most}.`);
  const tensors = new Map<string, Tensor>();
  const used = new Set<number>();
  for (const entry of entries) {
    const name = nameIn(entry, "n");
    const { d: dtype, sh: shape, f: frame, nb: bytes } = entry;
    if (
      typeof dtype !== "string" ||
      !Array.isArray(shape) ||
      !Number.isSafeInteger(frame) ||
      !Number.isSafeInteger(bytes)
    ) {
      throw new WireProblem("HEADER_FIELD", `tensor "${name}" needs d (string), sh (list), f and nb (integers).`);
    }
    if (!isDType(dtype)) throw new WireProblem("TENSOR_DTYPE", `tensor "${name}" has an unknown dtype.`);
    if (shape.length > MAX_RANK || !shape.every(isCount)) {
      throw new WireProblem(
        "TENSOR_SHAPE",
        `tensor "${name}" must have at most ${MAX_RANK} dimensions, none negative.`,
      );
    }
    const index = frame as number;
    const data = frames[index];
    if (tensors.has(name) || used.has(index) || data === undefined) {
      throw new WireProblem("TENSOR_FRAME", `tensor "${name}": names and frame indexes must be unique and in range.`);
    }
    used.add(index);
    const sizes = shape as number[];
    const expected = elementCount(sizes) * ELEMENT_TYPES[dtype].size;
    if (bytes !== expected || data.byteLength !== expected) {
      throw new WireProblem(
        "TENSOR_BYTES",
        `tensor "${name}": nb ${bytes as number}, its shape takes ${expected}, its frame has ${data.byteLength}.`,
      );
    }
    tensors.set(name, { dtype, shape: sizes, data: viewOf(dtype, data) });
  }
  return Object.fromEntries(tensors);
}
