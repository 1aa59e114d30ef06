/**
 * The vocabulary of the bridge: tensors, messages, transports and the two ends of a connection.
 *
 * @module
 */

/** Closed table of element types on the wire, little-endian, C order. bf16 travels as its 16 raw bits. */
export type DType = "bool" | "u8" | "i8" | "i16" | "i32" | "i64" | "f16" | "bf16" | "f32" | "f64";

export type TensorData =
  Uint8Array | Int8Array | Int16Array | Uint16Array | Int32Array | BigInt64Array | Float32Array | Float64Array;

/** A dense array. `data.length` is the product of `shape`; f16 and bf16 are held in a Uint16Array, bool in a Uint8Array. */
export interface Tensor {
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly data: TensorData;
}

export type Tensors = Readonly<Record<string, Tensor>>;

/** Parameters and results: what msgpack and JSON both hold. No typed arrays, no undefined, no functions. */
export type Plain = null | boolean | number | string | readonly Plain[] | { readonly [key: string]: Plain };
export type PlainMap = { readonly [key: string]: Plain };

/** Whether a lost call may be sent again (`pure`) or must run at most once (`stateful`). */
export type MethodKind = "pure" | "stateful";

/** What a call returns. */
export interface Reply {
  readonly result: PlainMap;
  readonly tensors: Tensors;
}

export interface CallOptions {
  readonly tensors?: Tensors;
  /** Milliseconds the call may take; the peer is told and the call rejects with BRIDGE_DEADLINE. Default: none. */
  readonly timeout?: number;
  /** Cancels the call at the worker's next boundary; rejects with BRIDGE_CANCELLED. */
  readonly signal?: AbortSignal;
  /** Called with each progress event the worker sends for this call. */
  readonly onProgress?: (progress: PlainMap) => void;
}

/** One caller's view of a worker: a connection over which named methods are called. */
export interface Caller {
  call(method: string, params: PlainMap, options?: CallOptions): Promise<Reply>;
  /** Refuses new calls, rejects those in flight with BRIDGE_CLOSED, releases the connection. */
  close(): Promise<void>;
}
