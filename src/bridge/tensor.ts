/**
 * Tensors: the closed table of element types, and the way between typed arrays and bytes.
 *
 * @module
 */
import { BridgeError } from "../errors.js";
import type { DType, Tensor, TensorData } from "./types.js";

type ArrayConstructor = new (buffer: ArrayBufferLike, byteOffset: number, length: number) => TensorData;

interface ElementType {
  /** Bytes of one element. */
  readonly size: number;
  readonly array: ArrayConstructor;
}

/** What each dtype is held in. */
export const ELEMENT_TYPES: Readonly<Record<DType, ElementType>> = {
  bool: { size: 1, array: Uint8Array },
  u8: { size: 1, array: Uint8Array },
  i8: { size: 1, array: Int8Array },
  i16: { size: 2, array: Int16Array },
  i32: { size: 4, array: Int32Array },
  i64: { size: 8, array: BigInt64Array },
  f16: { size: 2, array: Uint16Array },
  bf16: { size: 2, array: Uint16Array },
  f32: { size: 4, array: Float32Array },
  f64: { size: 8, array: Float64Array },
};

/** Most dimensions of a tensor. */
export const MAX_RANK = 8;

export function isDType(name: unknown): name is DType {
  return typeof name === "string" && Object.hasOwn(ELEMENT_TYPES, name);
}

/** Product of a shape; NaN where it leaves the safe integers. */
export function elementCount(shape: readonly number[]): number {
  let count = 1;
  for (const size of shape) {
    count *= size;
    if (!Number.isSafeInteger(count)) return shape.includes(0) ? 0 : Number.NaN;
  }
  return count;
}

/**
 * A tensor whose data, shape and dtype agree.
 *
 * @throws BridgeError TENSOR_DTYPE, TENSOR_SHAPE, TENSOR_BYTES
 */
export function tensor(dtype: DType, shape: readonly number[], data: TensorData): Tensor {
  const made = { dtype, shape, data };
  checkTensor("tensor", made);
  return made;
}

/** @throws BridgeError when a tensor is not what it says it is */
export function checkTensor(name: string, { dtype, shape, data }: Tensor): void {
  const type = isDType(dtype) ? ELEMENT_TYPES[dtype] : undefined;
  if (type === undefined) {
    throw new BridgeError("TENSOR_DTYPE", `tensor "${name}" has the unknown dtype ${JSON.stringify(dtype)}.`);
  }
  if (!(data instanceof type.array)) {
    const found = (data as object | null)?.constructor?.name ?? typeof data;
    throw new BridgeError(
      "TENSOR_DTYPE",
      `tensor "${name}" is ${dtype}, held in a ${type.array.name}; its data is a ${found}.`,
    );
  }
  if (shape.length > MAX_RANK || !shape.every((size) => Number.isSafeInteger(size) && size >= 0)) {
    throw new BridgeError(
      "TENSOR_SHAPE",
      `tensor "${name}" has the shape [${shape.join(", ")}]; at most ${MAX_RANK} dimensions, none negative.`,
    );
  }
  if (data.length !== elementCount(shape)) {
    throw new BridgeError(
      "TENSOR_BYTES",
      `tensor "${name}" of shape [${shape.join(", ")}] holds ${data.length} elements.`,
    );
  }
}

/** The tensor's memory as bytes, without a copy: do not change it before the call was answered. */
export function bytesOf(data: TensorData): Uint8Array {
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}

/** Bytes as a typed array: a view where the address allows one, else a copy. Frames start at any address. */
export function viewOf(dtype: DType, bytes: Uint8Array): TensorData {
  const { size, array } = ELEMENT_TYPES[dtype];
  const aligned = bytes.byteOffset % size === 0 ? bytes : new Uint8Array(bytes);
  return new array(aligned.buffer, aligned.byteOffset, aligned.byteLength / size);
}
