/**
 * Two sets of safetensors files side by side: which tensor differs, where most, and by what.
 *
 * Read piece by piece, because the files of a large model are larger than memory. A set may be cut into any number of files.
 *
 * @module
 */
import { open } from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";
import { basename } from "node:path";
import { z } from "zod";
import { RunError } from "../../errors.js";

/** A tensor that is not the same in both sets. */
export interface TensorDifference {
  readonly name: string;
  /** Elements that differ, of so many; all of them where one set lacks the tensor, or has it in another shape or type. */
  readonly differing: number;
  readonly elements: number;
  /** Where they differ most: the element's position along each dimension, its values, and how far they are apart. */
  readonly at: readonly number[];
  readonly recorded: number | null;
  readonly found: number | null;
  readonly distance: number;
}

const PIECE = 16 * 1024 * 1024;
/** As the format's own reader has it. */
const LONGEST_HEADER = 100_000_000;

const headerSchema = z.record(
  z.string(),
  z.object({
    dtype: z.string(),
    shape: z.array(z.int().min(0)),
    data_offsets: z.tuple([z.int().min(0), z.int().min(0)]),
  }),
);

interface Placed {
  readonly file: FileHandle;
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly start: number;
  readonly bytes: number;
}

/**
 * @param recorded paths of one set, `found` those of the other
 * @returns the tensors that differ in any bit, by name
 * @throws RunError VERIFY_TENSORS for a file that is no safetensors file
 */
export async function compareTensors(
  recorded: readonly string[],
  found: readonly string[],
): Promise<{ readonly tensors: number; readonly differences: readonly TensorDifference[] }> {
  await using opened = openFiles();
  const [then, now] = [await opened.tensorsOf(recorded), await opened.tensorsOf(found)];
  const names = [...new Set([...then.keys(), ...now.keys()])].sort();
  const differences: TensorDifference[] = [];
  for (const name of names) {
    const difference = await compareOne(name, then.get(name), now.get(name));
    if (difference !== null) differences.push(difference);
  }
  return { tensors: names.length, differences };
}

function openFiles() {
  const files: FileHandle[] = [];
  return {
    async tensorsOf(paths: readonly string[]): Promise<Map<string, Placed>> {
      const tensors = new Map<string, Placed>();
      for (const path of paths) {
        const file = await open(path, "r");
        files.push(file);
        for (const [name, placed] of await readHeader(file, path)) tensors.set(name, placed);
      }
      return tensors;
    },
    async [Symbol.asyncDispose]() {
      await Promise.all(files.map((file) => file.close()));
    },
  };
}

async function readHeader(file: FileHandle, path: string): Promise<[string, Placed][]> {
  const { size } = await file.stat();
  const length = size < 8 ? 0 : Number((await read(file, 0, 8)).readBigUInt64LE());
  if (length < 2 || length > Math.min(LONGEST_HEADER, size - 8)) throw noTensors(path);
  let header: z.output<typeof headerSchema>;
  try {
    const { __metadata__: _, ...tensors } = JSON.parse((await read(file, 8, length)).toString()) as Record<
      string,
      unknown
    >;
    header = headerSchema.parse(tensors);
  } catch (cause) {
    throw noTensors(path, cause);
  }
  return Object.entries(header).map(
    ([
      name,
      {
        dtype,
        shape,
        data_offsets: [from, to],
      },
    ]) => {
      const start = 8 + length + from;
      if (to < from || 8 + length + to > size) throw noTensors(path);
      return [name, { file, dtype, shape, start, bytes: to - from }];
    },
  );
}

function noTensors(path: string, cause?: unknown): RunError {
  return new RunError(
    "VERIFY_TENSORS",
    `${path} is not a complete safetensors file, so its weights cannot be looked at one by one. Verify from an earlier checkpoint (--steps), or bring ${basename(path)} back.`,
    { cause, fields: { path } },
  );
}

async function compareOne(
  name: string,
  then: Placed | undefined,
  now: Placed | undefined,
): Promise<TensorDifference | null> {
  const shape = (then ?? now)!.shape;
  const elements = shape.reduce((product, size) => product * size, 1);
  const alike = then?.dtype === now?.dtype && then?.bytes === now?.bytes && String(then?.shape) === String(now?.shape);
  if (then === undefined || now === undefined || !alike) {
    const whole = { at: [], recorded: null, found: null, distance: Number.POSITIVE_INFINITY };
    return { name, differing: elements, elements, ...whole };
  }
  const { bytes, value } = readerOf(then.dtype);
  let differing = 0;
  let most = { index: 0, recorded: 0, found: 0, distance: -1 };
  for (let at = 0; at < then.bytes; at += PIECE) {
    const length = Math.min(PIECE, then.bytes - at);
    const [left, right] = await Promise.all([then, now].map(({ file, start }) => read(file, start + at, length)));
    if (left!.equals(right!)) continue;
    for (let offset = 0; offset < length; offset += bytes) {
      const [recorded, found] = [value(left!, offset), value(right!, offset)];
      if (Object.is(recorded, found)) continue;
      differing += 1;
      const gap = Math.abs(recorded - found);
      // What is no number is as far from one as can be.
      const distance = Number.isNaN(gap) ? Number.POSITIVE_INFINITY : gap;
      if (distance > most.distance) most = { index: (at + offset) / bytes, recorded, found, distance };
    }
  }
  if (differing === 0) return null;
  const { index, ...values } = most;
  return { name, differing, elements, at: positionOf(index, shape), ...values };
}

function positionOf(index: number, shape: readonly number[]): number[] {
  let rest = index;
  return shape
    .toReversed()
    .map((size) => {
      const position = rest % size;
      rest = Math.floor(rest / size);
      return position;
    })
    .toReversed();
}

async function read(file: FileHandle, position: number, length: number): Promise<Buffer> {
  const { buffer } = await file.read(Buffer.alloc(length), 0, length, position);
  return buffer;
}

interface ValueReader {
  /** Size of an element. */
  readonly bytes: number;
  readonly value: (data: Buffer, offset: number) => number;
}

/** Of types that training does not use, bytes. */
function readerOf(dtype: string): ValueReader {
  switch (dtype) {
    case "F64":
      return { bytes: 8, value: (data, offset) => data.readDoubleLE(offset) };
    case "F32":
      return { bytes: 4, value: (data, offset) => data.readFloatLE(offset) };
    case "BF16":
      return { bytes: 2, value: (data, offset) => upperHalf(data.readUInt16LE(offset)) };
    case "F16":
      return { bytes: 2, value: (data, offset) => half(data.readUInt16LE(offset)) };
    default:
      return { bytes: 1, value: (data, offset) => data.readUInt8(offset) };
  }
}

const WORD = new DataView(new ArrayBuffer(4));

/** bfloat16 is the upper half of a float32. */
function upperHalf(bits: number): number {
  WORD.setUint16(0, bits);
  return WORD.getFloat32(0);
}

function half(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0x1f) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  return exponent === 0 ? sign * fraction * 2 ** -24 : sign * (1024 + fraction) * 2 ** (exponent - 25);
}
