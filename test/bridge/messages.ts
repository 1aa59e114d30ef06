/** Messages for tests of the codec: arbitrary ones, and helpers to look at their errors. */
import fc from "fast-check";
import { BridgeError } from "../../src/errors.js";
import { viewOf } from "../../src/bridge/index.js";
import type { DType, Message, Plain, PlainMap, Tensor } from "../../src/bridge/index.js";
import { ELEMENT_TYPES } from "../../src/bridge/tensor.js";

export const DTYPES = Object.keys(ELEMENT_TYPES) as DType[];

/** Text that has UTF-8. */
const text = fc.string({ unit: "grapheme", maxLength: 40 });
const name = fc.string({ unit: "grapheme-ascii", minLength: 1, maxLength: 64 });
const number = fc.oneof(
  fc.double().map((value) => (Object.is(value, -0) ? 0 : value)),
  fc.integer(),
  fc.maxSafeInteger(),
  fc.constantFrom(127, 128, 255, 256, 65535, 65536, 2 ** 31, 2 ** 32, 2 ** 53 - 1, -1, -32, -33, -128, -129, -32769),
);

const { plain } = fc.letrec<{ plain: Plain }>((tie) => ({
  plain: fc.oneof(
    { maxDepth: 5 },
    fc.constantFrom(null, true, false),
    number,
    text,
    fc.array(tie("plain"), { maxLength: 20 }),
    fc.dictionary(text, tie("plain"), { maxKeys: 20 }),
  ),
}));

export const arbitraryTensor: fc.Arbitrary<Tensor> = fc
  .record({ dtype: fc.constantFrom(...DTYPES), shape: fc.array(fc.nat(4), { maxLength: 4 }) })
  .chain(({ dtype, shape }) => {
    const bytes = shape.reduce((product, size) => product * size, ELEMENT_TYPES[dtype].size);
    return fc
      .uint8Array({ minLength: bytes, maxLength: bytes })
      .map((data) => ({ dtype, shape, data: viewOf(dtype, data) }));
  });

export const arbitraryMessage: fc.Arbitrary<Message> = fc.record(
  {
    kind: fc.constantFrom("req" as const, "evt" as const),
    id: name,
    session: name,
    method: name,
    deadline: fc.nat(),
    params: fc.dictionary(text, plain) as fc.Arbitrary<PlainMap>,
    tensors: fc.dictionary(name, arbitraryTensor, { maxKeys: 5 }),
  },
  { requiredKeys: ["kind", "id", "session", "method", "params", "tensors"] },
);

/** A request without tensors, with these fields changed. */
export function request(changes: Partial<Message> = {}): Message {
  return { kind: "req", id: "1", session: "s", method: "m", params: {}, tensors: {}, ...changes };
}

/** Code of the BridgeError that `work` throws; any other error passes. */
export function codeOf(work: () => unknown): string {
  try {
    work();
  } catch (error) {
    if (error instanceof BridgeError) return error.code;
    throw error;
  }
  return "no error";
}
