/**
 * Operations between vectors of different lengths: sums, means, segments, choices of elements.
 *
 * @module
 */
import type { Segments } from "../custom.js";
import { shapeError } from "./nodes.js";
import type { Node, Operand, Recorder } from "./nodes.js";

/** Sum of a vector, or its mean. */
export function total(recorder: Recorder, name: "sum" | "mean", operand: Operand): Node {
  const input = recorder.readVector(name, operand);
  const { length } = input.values;
  if (name === "mean" && length === 0) throw shapeError(name, "was given a vector without elements.");
  const scale = name === "mean" ? 1 / length : 1;
  const sum = input.values.reduce((sofar, value) => sofar + value, 0);
  return recorder.record("scalar", Float64Array.of(sum * scale), [input], ([slope]) => {
    for (let index = 0; index < length; index += 1) input.gradient![index]! += slope! * scale;
  });
}

/** How the elements of one segment become one number, and the derivative of that by each of them. */
interface Reduction {
  readonly value: (elements: Float64Array) => number;
  readonly derivative: (reduced: number, elements: Float64Array, index: number) => number;
  /** An empty segment has a value. */
  readonly empty: boolean;
}

const sumOf = (elements: Float64Array): number => elements.reduce((sum, value) => sum + value, 0);

const REDUCTIONS = {
  segmentSum: { value: sumOf, derivative: () => 1, empty: true },
  segmentMean: {
    value: (elements) => sumOf(elements) / elements.length,
    derivative: (_, elements) => 1 / elements.length,
    empty: false,
  },
  segmentLogSumExp: {
    value: (elements) => {
      const largest = elements.reduce((sofar, value) => Math.max(sofar, value), -Infinity);
      return largest + Math.log(elements.reduce((sum, value) => sum + Math.exp(value - largest), 0));
    },
    derivative: (reduced, elements, index) => Math.exp(elements[index]! - reduced),
    empty: false,
  },
} as const satisfies Record<string, Reduction>;

/** One number per segment. */
export function reduceSegments(
  recorder: Recorder,
  name: keyof typeof REDUCTIONS,
  operand: Operand,
  segments: Segments,
): Node {
  const { value, derivative, empty }: Reduction = REDUCTIONS[name];
  const input = recorder.readVector(name, operand);
  checkSegments(name, segments);
  const count = segments.length - 1;
  if (segments[count] !== input.values.length) {
    throw shapeError(name, `was given a vector of ${input.values.length} and segments of ${segments[count]} elements.`);
  }
  const own = Array.from({ length: count }, (_, s) => input.values.subarray(segments[s], segments[s + 1]));
  const hole = empty ? -1 : own.findIndex((elements) => elements.length === 0);
  if (hole >= 0) throw shapeError(name, `has no value for segment ${hole}, which holds no elements.`);

  const values = Float64Array.from(own, value);
  return recorder.record("vector", values, [input], (gradient) => {
    for (const [segment, elements] of own.entries()) {
      for (let index = 0; index < elements.length; index += 1) {
        const slope = derivative(values[segment]!, elements, index);
        input.gradient![segments[segment]! + index]! += gradient[segment]! * slope;
      }
    }
  });
}

/** Elements by index, each as often as it is named. */
export function gather(recorder: Recorder, name: string, operand: Operand, indices: ArrayLike<number>): Node {
  const input = recorder.readVector(name, operand);
  const values = Float64Array.from(indices, (index, at) => {
    const value = input.values[index];
    if (value === undefined) {
      throw shapeError(name, `asks for element ${index} (at ${at}) of a vector of ${input.values.length}.`);
    }
    return value;
  });
  return recorder.record("vector", values, [input], (gradient) => {
    for (const [at, slope] of gradient.entries()) input.gradient![indices[at]!]! += slope;
  });
}

/** For each element the number of its segment. */
export function segmentNumbers(name: string, segments: Segments): Int32Array {
  checkSegments(name, segments);
  const numbers = new Int32Array(segments.at(-1)!);
  for (let segment = 0; segment + 1 < segments.length; segment += 1) {
    numbers.fill(segment, segments[segment], segments[segment + 1]);
  }
  return numbers;
}

function checkSegments(name: string, segments: Segments): void {
  const ordered = segments.every((offset, index) => index === 0 || offset >= segments[index - 1]!);
  if (segments[0] !== 0 || !ordered) {
    throw shapeError(
      name,
      "needs segments: offsets that begin with 0 and never fall, like `completions` and `groups`.",
    );
  }
}
