/**
 * TensorBoard event files: records of (length, masked CRC of the length, Event protobuf, masked CRC of the protobuf).
 *
 * Formats: TensorFlow `record_writer`, `event.proto` (wall_time = 1, step = 2, file_version = 3, summary = 5),
 * `summary.proto` (value = 1; tag = 1, simple_value = 2). The checksum is CRC-32C (Castagnoli), rotated and offset.
 *
 * @module
 */

import { appendFileSync, mkdirSync, readdirSync, readFileSync, truncateSync } from "node:fs";
import { join } from "node:path";
import { isFileError, writingSync } from "./failures.js";

/** Appends scalars to an event file. */
export interface EventFileWriter {
  readonly path: string;
  /** @param seconds wall clock in seconds since 1970; null values are left out */
  scalars(step: number, values: Readonly<Record<string, number | null>>, seconds: number): void;
}

const MARKER = "tfevents";
/** One file per run, found again on resume. The digits stand where TensorBoard puts a start time. */
const FILE_NAME = `events.out.${MARKER}.0000000000.thurstone`;

/** Opens the event file of `folder`, cut to its last whole record; makes it with its version record when new. */
export function openEventFile(folder: string, seconds: number): EventFileWriter {
  const path = join(folder, FILE_NAME);
  writingSync("open", path, () => {
    mkdirSync(folder, { recursive: true });
    const size = wholeRecords(path).at(-1)?.end ?? 0;
    if (size > 0) truncateSync(path, size);
    else appendFileSync(path, frame(encodeVersion(seconds)), { flag: "w" });
  });
  return {
    path,
    scalars(step, values, wallTime) {
      const entries = Object.entries(values).filter((entry): entry is [string, number] => entry[1] !== null);
      if (entries.length === 0) return;
      writingSync("append to", path, () => appendFileSync(path, frame(encodeScalars(step, entries, wallTime))));
    },
  };
}

/** Cuts the event files of `folder` before the first record of a step after `step`. */
export function truncateEventFiles(folder: string, step: number): void {
  for (const name of eventFiles(folder)) {
    const path = join(folder, name);
    const records = wholeRecords(path);
    const first = records.findIndex((record) => stepOfEvent(record.payload) > step);
    if (first !== -1) writingSync("shorten", path, () => truncateSync(path, records[first - 1]?.end ?? 0));
  }
}

/** A record with its two checksums around an encoded Event. */
export function frame(payload: Buffer): Buffer {
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(payload.length));
  return Buffer.concat([length, maskedCrc(length), payload, maskedCrc(payload)]);
}

/** CRC-32C of the bytes, as an unsigned 32-bit number. */
export function crc32c(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) crc = (CRC_TABLE[(crc ^ byte) & 0xff] ?? 0) ^ (crc >>> 8);
  return (crc ^ 0xffffffff) >>> 0;
}

const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, index) => {
  let value = index;
  for (let bit = 0; bit < 8; bit += 1) value = value & 1 ? (value >>> 1) ^ 0x82f63b78 : value >>> 1;
  return value;
});

function maskedCrc(bytes: Uint8Array): Buffer {
  const crc = crc32c(bytes);
  const masked = (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;
  const buffer = Buffer.alloc(4);
  buffer.writeUInt32LE(masked);
  return buffer;
}

function encodeVersion(seconds: number): Buffer {
  return Buffer.concat([doubleField(1, seconds), bytesField(3, Buffer.from("brain.Event:2"))]);
}

function encodeScalars(step: number, entries: readonly (readonly [string, number])[], seconds: number): Buffer {
  const values = entries.map(([tag, value]) =>
    bytesField(1, Buffer.concat([bytesField(1, Buffer.from(tag)), floatField(2, value)])),
  );
  return Buffer.concat([
    doubleField(1, seconds),
    varint((2 << 3) | 0),
    varint(step),
    bytesField(5, Buffer.concat(values)),
  ]);
}

function varint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = value;
  for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) bytes.push((rest % 0x80) | 0x80);
  bytes.push(rest);
  return Buffer.from(bytes);
}

function bytesField(field: number, content: Buffer): Buffer {
  return Buffer.concat([varint((field << 3) | 2), varint(content.length), content]);
}

function doubleField(field: number, value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeDoubleLE(value);
  return Buffer.concat([varint((field << 3) | 1), bytes]);
}

function floatField(field: number, value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeFloatLE(value);
  return Buffer.concat([varint((field << 3) | 5), bytes]);
}

/** Our own Events hold the step right behind the 9 bytes of wall_time; the version record has none and counts as 0. */
function stepOfEvent(payload: Buffer): number {
  if (payload[9] !== 0x10) return 0;
  let step = 0;
  for (let index = 10, scale = 1; index < payload.length; index += 1, scale *= 0x80) {
    const byte = payload[index] ?? 0;
    step += (byte & 0x7f) * scale;
    if (byte < 0x80) break;
  }
  return step;
}

function wholeRecords(path: string): { payload: Buffer; end: number }[] {
  const content = readIfThere(path);
  const records: { payload: Buffer; end: number }[] = [];
  for (let start = 0; start + 16 <= content.length;) {
    const length = Number(content.readBigUInt64LE(start));
    const end = start + 16 + length;
    if (end > content.length) break;
    records.push({ payload: content.subarray(start + 12, start + 12 + length), end });
    start = end;
  }
  return records;
}

function readIfThere(path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (error) {
    if (isFileError(error) && error.code === "ENOENT") return Buffer.alloc(0);
    throw error;
  }
}

function eventFiles(folder: string): string[] {
  try {
    return readdirSync(folder).filter((name) => name.includes(MARKER));
  } catch (error) {
    if (isFileError(error) && error.code === "ENOENT") return [];
    throw error;
  }
}
