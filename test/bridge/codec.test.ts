import fc from "fast-check";
import { Packr } from "msgpackr";
import { describe, expect, it } from "vitest";
import { bytesOf, decodeMessage, encodeMessage, tensor } from "../../src/bridge/index.js";
import type { Message, PlainMap, Tensor, TensorData } from "../../src/bridge/index.js";
import { arbitraryMessage, codeOf, request } from "./messages.js";

const RUNS = { numRuns: 2000 };
const MAGIC = Uint8Array.from([0x54, 0x46, 0x4d, 1]);
const packr = new Packr({ useRecords: false, variableMapSize: true });
const FIELDS = { v: [1, 0], t: "req", id: "1", s: "s", m: "m" };

/** Decodes two frames, the header given as bytes. */
function read(header: Uint8Array, ...tensors: Uint8Array[]): Message {
  return decodeMessage([MAGIC, header, ...tensors]);
}

/** Tensors compared by their bytes: NaN has many bit patterns. */
function bits({ tensors, ...rest }: Message): unknown {
  const raw = Object.entries(tensors).map(([name, one]) => [name, one.dtype, one.shape, [...bytesOf(one.data)]]);
  return { ...rest, tensors: raw };
}

describe("any message", () => {
  it("arrives as it was sent", () => {
    fc.assert(
      fc.property(arbitraryMessage, (message) => {
        expect(bits(decodeMessage(encodeMessage(message)))).toEqual(bits(message));
      }),
      RUNS,
    );
  });

  it("arrives as it was sent from a buffer at any address", () => {
    fc.assert(
      fc.property(arbitraryMessage, fc.integer({ min: 1, max: 7 }), (message, shift) => {
        const moved = encodeMessage(message).map((frame) => {
          const room = new Uint8Array(frame.length + shift);
          room.set(frame, shift);
          return room.subarray(shift);
        });
        expect(bits(decodeMessage(moved))).toEqual(bits(message));
      }),
      { numRuns: 300 },
    );
  });
});

describe("a decoder given garbage throws typed errors only:", () => {
  const decodes = (frames: Uint8Array[]): void => void codeOf(() => decodeMessage(frames));

  it("random frames", () => {
    fc.assert(fc.property(fc.array(fc.uint8Array({ maxLength: 200 }), { maxLength: 5 }), decodes), RUNS);
  });

  it("random headers", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), fc.array(fc.uint8Array(), { maxLength: 2 }), (header, tensors) =>
        decodes([MAGIC, header, ...tensors]),
      ),
      { numRuns: 4000 },
    );
  });

  it("messages with bytes changed, cut or added", () => {
    const changes = fc.array(fc.record({ at: fc.nat(), value: fc.integer({ min: 0, max: 255 }) }), {
      minLength: 1,
      maxLength: 4,
    });
    fc.assert(
      fc.property(
        arbitraryMessage,
        changes,
        fc.nat(),
        fc.integer({ min: -3, max: 3 }),
        (message, edits, which, grow) => {
          const frames = encodeMessage(message).map((frame) => Uint8Array.from(frame));
          const header = frames[1]!;
          for (const { at, value } of edits) header[at % header.length] = value;
          const index = which % frames.length;
          const changed = new Uint8Array(Math.max(0, frames[index]!.length + grow));
          changed.set(frames[index]!.subarray(0, changed.length));
          frames[index] = changed;
          decodes(frames);
        },
      ),
      { numRuns: 4000 },
    );
  });
});

describe("a header", () => {
  it("costs no memory for elements that it only claims", () => {
    // Lists that each claim 65,535 elements, one within the other and side by side: 1 MiB that claims gigabytes.
    const nested = new Uint8Array(1 << 20).fill(0xdc);
    const beside = new Uint8Array(1 << 20).fill(0xff);
    beside.set([0xdd, 0x00, 0x01, 0x00, 0x00]);
    for (let at = 5; at + 3 <= beside.length; at += 3) beside.set([0xdc, 0xff, 0xff], at);
    const claim = Uint8Array.from([0xdd, 0xff, 0xff, 0xff, 0xff]);
    const before = process.memoryUsage().heapTotal;
    for (const header of [nested, beside, claim]) {
      for (let round = 0; round < 20; round += 1) expect(codeOf(() => read(header))).toBe("HEADER_MALFORMED");
    }
    expect(process.memoryUsage().heapTotal - before).toBeLessThan(32 * 2 ** 20);
  });

  it("may nest 128 levels, its own map being the first, on both ends", () => {
    const nested = (levels: number): PlainMap => ({ list: JSON.parse("[".repeat(levels) + "]".repeat(levels)) as [] });
    const deepest = request({ params: nested(126) });
    expect(decodeMessage(encodeMessage(deepest))).toEqual(deepest);
    expect(codeOf(() => encodeMessage(request({ params: nested(127) })))).toBe("HEADER_FIELD");
    expect(codeOf(() => read(packr.pack({ ...FIELDS, p: nested(127) })))).toBe("HEADER_MALFORMED");
  });

  it("keeps a field called __proto__ a field", () => {
    const params = JSON.parse('{"__proto__": {"polluted": 1}, "constructor": 2}') as PlainMap;
    const { params: received } = decodeMessage(encodeMessage(request({ params })));
    expect(Object.entries(received)).toEqual([
      ["__proto__", { polluted: 1 }],
      ["constructor", 2],
    ]);
    expect(Object.getPrototypeOf(received)).toBe(Object.prototype);
  });

  it("takes names of 64 characters, also of those that JavaScript counts twice", () => {
    const message = request({ id: "\u{1f600}".repeat(64), method: "x".repeat(64) });
    expect(decodeMessage(encodeMessage(message))).toEqual(message);
    expect(codeOf(() => encodeMessage(request({ id: "\u{1f600}".repeat(65) })))).toBe("HEADER_FIELD");
    expect(codeOf(() => encodeMessage(request({ session: "" })))).toBe("HEADER_FIELD");
  });

  it("is refused when its text is not UTF-8", () => {
    const header = packr.pack({ ...FIELDS, p: { text: "xy" } });
    header[header.length - 1] = 0xff;
    expect(codeOf(() => read(header))).toBe("HEADER_MALFORMED");
  });

  it("that is refused for a value still names its request", () => {
    const header = packr.pack({ ...FIELDS, p: { bytes: Buffer.from("x") } });
    expect(() => read(header)).toThrow(
      expect.objectContaining({ code: "HEADER_FIELD", fields: { id: "1", session: "s" } }),
    );
  });
});

describe("a sender refuses", () => {
  class Custom {
    readonly value = 1;
  }
  const unsendable: Record<string, unknown> = {
    undefined: undefined,
    "a bigint": 1n,
    "a function": () => 1,
    "a symbol": Symbol("s"),
    "a Date": new Date(0),
    "a Set": new Set([1]),
    "a Map": new Map([["a", 1]]),
    "a RegExp": /a/,
    "an Error": new Error("e"),
    "a DataView": new DataView(new ArrayBuffer(8)),
    "an ArrayBuffer": new ArrayBuffer(8),
    "a Buffer": Buffer.from("x"),
    "a Promise": Promise.resolve(1),
    "an object of a class": new Custom(),
    "half a surrogate pair": "\ud83d",
    "a key with half a surrogate pair": { "\udc00": 1 },
    "a sparse list": [1, , 3], // eslint-disable-line no-sparse-arrays
    ...Object.fromEntries(
      [
        Uint8Array,
        Uint8ClampedArray,
        Int8Array,
        Int16Array,
        Uint16Array,
        Int32Array,
        Uint32Array,
        Float32Array,
        Float64Array,
        BigInt64Array,
        BigUint64Array,
      ].map((type) => [`a bare ${type.name}`, new type(4)]),
    ),
  };

  it.each(Object.entries(unsendable))("%s, wherever it stands", (_name, value) => {
    for (const params of [{ value }, { list: [1, { deep: [value] }] }]) {
      expect(codeOf(() => encodeMessage(request({ params: params as PlainMap })))).toBe("HEADER_FIELD");
    }
  });

  it("a cycle", () => {
    const params: Record<string, unknown> = {};
    params["self"] = params;
    expect(codeOf(() => encodeMessage(request({ params: params as PlainMap })))).toBe("HEADER_FIELD");
  });

  it("naming the field", () => {
    const params = { rows: [{ ok: 1 }, { wrong: new Float32Array(1) }] } as unknown as PlainMap;
    expect(() => encodeMessage(request({ params }))).toThrow("p.rows[1].wrong cannot be sent: a Float32Array");
  });

  const four = new Float32Array(4);
  it.each<[string, unknown, number[], TensorData, string]>([
    ["an unknown dtype", "float32", [4], four, "TENSOR_DTYPE"],
    ["a dtype that is a property of every object", "constructor", [4], four, "TENSOR_DTYPE"],
    ["data of another type", "f64", [4], four, "TENSOR_DTYPE"],
    ["too few elements", "f32", [5], four, "TENSOR_BYTES"],
    ["too many elements", "f32", [3], four, "TENSOR_BYTES"],
    ["elements where the shape has none", "f32", [4, 0], four, "TENSOR_BYTES"],
    ["a shape beyond 53 bits", "f32", [2 ** 40, 2 ** 40], four, "TENSOR_BYTES"],
    ["negative sizes whose product fits", "f32", [-2, -2], four, "TENSOR_SHAPE"],
    ["a fraction of a size", "f32", [0.5, 8], four, "TENSOR_SHAPE"],
    ["nine dimensions", "f32", [1, 1, 1, 1, 1, 1, 1, 1, 4], four, "TENSOR_SHAPE"],
  ])("a tensor with %s", (_name, dtype, shape, data, code) => {
    const wrong = { dtype, shape, data } as Tensor;
    expect(codeOf(() => encodeMessage(request({ tensors: { wrong } })))).toBe(code);
    expect(codeOf(() => tensor(wrong.dtype, shape, data))).toBe(code);
  });

  it("more tensors, more header and more bytes than a receiver takes", () => {
    const one = tensor("u8", [1], new Uint8Array(1));
    const many = Object.fromEntries(Array.from({ length: 1025 }, (_, index) => [`t${index}`, one]));
    expect(codeOf(() => encodeMessage(request({ tensors: many })))).toBe("TENSOR_COUNT");
    expect(codeOf(() => encodeMessage(request({ params: { text: "x".repeat(1 << 20) } })))).toBe("FRAME_TOO_LARGE");
    expect(codeOf(() => encodeMessage(request({ tensors: { one } }), { maxMessageBytes: 20 }))).toBe("FRAME_TOO_LARGE");
  });
});
