/**
 * Reads and writes safetensors files: the header's length in 8 bytes, the header in JSON, the data. 32-bit floats only.
 *
 * @module
 */
import { readFileSync, writeFileSync } from "node:fs";

export interface Tensor {
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly data: Float32Array;
}

/** All tensors of a file by name. */
export function readTensors(path: string): Map<string, Tensor> {
  const bytes = readFileSync(path);
  const length = Number(bytes.readBigUInt64LE(0));
  const header = JSON.parse(bytes.toString("utf8", 8, 8 + length)) as Record<
    string,
    { dtype: string; shape: number[]; data_offsets: [number, number] }
  >;
  return new Map(
    Object.entries(header)
      .filter(([name]) => name !== "__metadata__")
      .map(
        ([
          name,
          {
            dtype,
            shape,
            data_offsets: [from, to],
          },
        ]) => {
          const data = new Float32Array(new Uint8Array(bytes.subarray(8 + length + from, 8 + length + to)).buffer);
          return [name, { dtype, shape, data }];
        },
      ),
  );
}

/** Writes a file as transformers reads it. */
export function writeTensors(path: string, tensors: ReadonlyMap<string, Tensor>): void {
  const header: Record<string, unknown> = { __metadata__: { format: "pt" } };
  let at = 0;
  for (const [name, { dtype, shape, data }] of tensors) {
    header[name] = { dtype, shape, data_offsets: [at, (at += data.byteLength)] };
  }
  const text = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  const data = [...tensors.values()].map((tensor) => new Uint8Array(tensor.data.buffer));
  writeFileSync(path, Buffer.concat([length, text, ...data]));
}

/** Adds to one value of a file, where it lies. */
export function changeValue(path: string, name: string, index: number, by: number): void {
  const bytes = readFileSync(path);
  const length = Number(bytes.readBigUInt64LE(0));
  const header = JSON.parse(bytes.toString("utf8", 8, 8 + length)) as Record<
    string,
    { data_offsets: [number, number] }
  >;
  const at = 8 + length + header[name]!.data_offsets[0] + 4 * index;
  bytes.writeFloatLE(bytes.readFloatLE(at) + by, at);
  writeFileSync(path, bytes);
}

/** Largest difference between two sets of tensors of the same names. */
export function largestDifference(a: ReadonlyMap<string, Tensor>, b: ReadonlyMap<string, Tensor>): number {
  if ([...a.keys()].join() !== [...b.keys()].join()) throw new Error("the tensors have other names.");
  return Math.max(
    ...[...a].map(([name, { data }]) =>
      data.reduce((largest, value, index) => Math.max(largest, Math.abs(value - b.get(name)!.data[index]!)), 0),
    ),
  );
}
