/**
 * Messages to frames and back, with every check of docs/protocol.md section 1 before anything is allocated.
 *
 * @module
 */
import { Packr } from "msgpackr";
import { BridgeError } from "../errors.js";
import { readHeader } from "./header.js";
import { checkName, checkPlain } from "./message.js";
import type { Message } from "./message.js";
import { readMsgpackMap } from "./msgpack-reader.js";
import { bytesOf, checkTensor } from "./tensor.js";
import type { PlainMap } from "./types.js";
import { WireProblem } from "./wire-problem.js";

export interface Limits {
  /** Bytes of a whole message. Default 2 GiB. */
  readonly maxMessageBytes?: number;
}

export const PROTOCOL_VERSION = [1, 0] as const;
const MAGIC = Buffer.from([0x54, 0x46, 0x4d, PROTOCOL_VERSION[0]]);
const MAX_HEADER_BYTES = 1 << 20;
const MAX_MESSAGE_BYTES = 2 ** 31;
const MAX_TENSORS = 1024;

// msgpackr's defaults (records, 16-bit maps) cannot be read by other decoders.
const packr = new Packr({ useRecords: false, variableMapSize: true, mapsAsObjects: true });

/**
 * Frames of a message. Tensor frames are the tensors' own memory.
 *
 * @throws BridgeError for values that cannot travel and messages over a limit
 */
export function encodeMessage(message: Message, limits: Limits = {}): Uint8Array[] {
  const { kind, id, session, method, deadline, params, error } = message;
  checkName(id, "id");
  checkName(session, "s");
  if (method !== undefined) checkName(method, "m");
  checkPlain(params, "p");
  if (error !== undefined) checkPlain(error, "e");
  const tensors = Object.entries(message.tensors);
  if (tensors.length > MAX_TENSORS) {
    throw new BridgeError("TENSOR_COUNT", `${tensors.length} tensors; a message holds at most ${MAX_TENSORS}.`);
  }
  for (const [name, tensor] of tensors) {
    checkName(name, "the name of a tensor");
    checkTensor(name, tensor);
  }
  const header = packr.pack({
    v: PROTOCOL_VERSION,
    t: kind,
    id,
    s: session,
    ...(method !== undefined && { m: method }),
    ...(deadline !== undefined && { dl: deadline }),
    p: params,
    ...(tensors.length > 0 && {
      x: tensors.map(([n, { dtype, shape, data }], f) => ({ n, d: dtype, sh: shape, f, nb: data.byteLength })),
    }),
    ...(error !== undefined && { e: error }),
  });
  const frames = [MAGIC, header, ...tensors.map(([, { data }]) => bytesOf(data))];
  const problem = sizeProblem(frames, limits);
  if (problem !== undefined) throw new BridgeError("FRAME_TOO_LARGE", problem);
  return frames;
}

/**
 * The message in `frames`. Tensors are views of the frames where alignment allows it.
 *
 * @throws BridgeError, and nothing else, on any input; `fields.id` and `fields.session` are set where they could be read
 */
export function decodeMessage(frames: readonly Uint8Array[], limits: Limits = {}): Message {
  if (frames.length < 2) throw new BridgeError("FRAME_COUNT", `${frames.length} frames; a message has at least 2.`);
  const first = frames[0]!;
  if (first.length !== 4 || !MAGIC.subarray(0, 3).equals(first.subarray(0, 3))) {
    throw new BridgeError("FRAME_MAGIC", 'the first frame must be "TFM" and a version byte.');
  }
  if (first[3] !== PROTOCOL_VERSION[0]) {
    throw new BridgeError("FRAME_VERSION", `major version ${first[3]}; this side speaks ${PROTOCOL_VERSION[0]}.`);
  }
  const problem = sizeProblem(frames, limits);
  if (problem !== undefined) throw new BridgeError("FRAME_TOO_LARGE", problem);

  let header: PlainMap | undefined;
  try {
    header = readMsgpackMap(frames[1]!);
    return readHeader(header, frames.slice(2), { major: PROTOCOL_VERSION[0], maxTensors: MAX_TENSORS });
  } catch (error) {
    if (!(error instanceof WireProblem)) throw error;
    const { id, s: session } = error.header ?? header ?? {};
    const known = typeof id === "string" && typeof session === "string";
    throw new BridgeError(error.code, error.message, { fields: known ? { id, session } : {} });
  }
}

function sizeProblem(
  frames: readonly Uint8Array[],
  { maxMessageBytes = MAX_MESSAGE_BYTES }: Limits,
): string | undefined {
  if (frames[1]!.byteLength > MAX_HEADER_BYTES) {
    return `a header of ${frames[1]!.byteLength} bytes; at most ${MAX_HEADER_BYTES}.`;
  }
  const total = frames.reduce((sum, frame) => sum + frame.byteLength, 0);
  return total > maxMessageBytes ? `a message of ${total} bytes; at most ${maxMessageBytes}.` : undefined;
}
