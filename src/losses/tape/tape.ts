/**
 * A small reverse-mode tape: write the forward formula of a loss, and its derivative follows.
 *
 * Reverse-mode differentiation: Griewank and Walther, "Evaluating Derivatives", 2008, chapter 3. Derivatives at kinks are
 * PyTorch's; each is stated at its operation and held by tests against values of PyTorch.
 *
 * @module
 */
import type { CustomLossInput, CustomLossResult, Segments } from "../custom.js";
import { elementwise } from "./elementwise.js";
import { createRecorder, shapeError } from "./nodes.js";
import type { Node, Operand, Scalar, Vector } from "./nodes.js";
import { gather, reduceSegments, segmentNumbers, total } from "./segments.js";

type List = Vector | Float64Array;
type Single = Scalar | number;

/** Element by element. */
interface Unary {
  (x: Single): Scalar;
  (x: List): Vector;
}

/** Element by element; a scalar or number stands for every element, and vectors must have one length. */
interface Binary {
  (a: Single, b: Single): Scalar;
  (a: List, b: Operand): Vector;
  (a: Operand, b: List): Vector;
}

/** One number per segment. */
type Reduce = (x: List, segments: Segments) => Vector;

/** The operations of a formula. Anything that does not fit is refused with LossError LOSS_SHAPE. */
export interface Tape {
  readonly add: Binary;
  readonly sub: Binary;
  readonly mul: Binary;
  readonly div: Binary;
  readonly neg: Unary;
  readonly exp: Unary;
  /** Natural logarithm. */
  readonly log: Unary;
  /** log(1 + x), exact for small x. */
  readonly log1p: Unary;
  readonly sqrt: Unary;
  readonly square: Unary;
  /** 1 / (1 + e^-x). */
  readonly sigmoid: Unary;
  /** log sigmoid(x), exact in both tails. */
  readonly logSigmoid: Unary;
  /** Probability that a standard normal variable is below x: Thurstone's model of a comparison. */
  readonly normalCdf: Unary;
  /** The smaller one. Where both are equal each takes half of the derivative. */
  readonly min: Binary;
  /** The larger one. Where both are equal each takes half of the derivative. */
  readonly max: Binary;
  /** x within [low, high]. The derivative is 1 inside and on the bounds, 0 outside. */
  readonly clamp: {
    (x: Single, low: number, high: number): Scalar;
    (x: List, low: number, high: number): Vector;
  };
  /**
   * a where the condition is not 0, else b. Nothing flows into the condition, nor into what was not chosen, however steep
   * it is there (PyTorch gives NaN for an infinite slope; this does not).
   */
  readonly where: (condition: List | readonly boolean[], a: Operand, b: Operand) => Vector;
  /** The same values as a constant. */
  readonly stopGradient: Unary;
  readonly sum: (x: List) => Scalar;
  /** @throws LossError LOSS_SHAPE for a vector without elements */
  readonly mean: (x: List) => Scalar;
  /** [S]; 0 for a segment without elements. */
  readonly segmentSum: Reduce;
  /** [S]; a segment without elements is refused. */
  readonly segmentMean: Reduce;
  /** [S] log of the sum of e^x, exact whatever the size of x; a segment without elements is refused. */
  readonly segmentLogSumExp: Reduce;
  /** [S] -> [elements]: every element gets its segment's value. */
  readonly spread: (x: List, segments: Segments) => Vector;
  /** The elements at these indices, each as often as it is named. */
  readonly gather: (x: List, indices: ArrayLike<number>) => Vector;
  /** The elements from `start` up to, not including, `end` (default: the length). */
  readonly slice: (x: List, start: number, end?: number) => Vector;
}

/** What a formula is given: the input of a custom loss, with `policy` on the tape. All else is constant. */
export interface TapeInput extends Omit<CustomLossInput, "policy"> {
  /** [N] */
  readonly policy: Vector;
}

/**
 * Makes a custom loss from its forward formula. The formula is run once per call and must not keep values of the tape;
 * numbers may be read from `values` at any time.
 *
 * @example
 * const policyGradient = tape((t, { policy, advantages, weights }) =>
 *   t.neg(t.sum(t.mul(weights, t.mul(advantages, policy)))),
 * );
 * await policy.forwardBackward(batch, policyGradient);
 *
 * @param formula returns the loss
 * @throws LossError LOSS_SHAPE, from the returned function
 */
export function tape(formula: (t: Tape, input: TapeInput) => Scalar): (input: CustomLossInput) => CustomLossResult {
  return (input) => {
    const recorder = createRecorder();
    const policy = recorder.variable(input.policy);
    const { old, advantages, weights, completions, groups, positions } = input;
    const loss = formula(createTape(recorder), {
      policy,
      old,
      // Passed on unread: reading it is an error where it was not asked for.
      get reference() {
        return input.reference;
      },
      advantages,
      weights,
      completions,
      groups,
      positions,
    });
    recorder.backward(loss);
    return { loss: loss.values[0]!, derivative: policy.gradient! };
  };
}

function createTape(recorder: ReturnType<typeof createRecorder>): Tape {
  const unary = (name: Parameters<typeof elementwise>[1]): Unary =>
    ((x: Operand) => elementwise(recorder, name, [x])) as Unary;
  const binary = (name: Parameters<typeof elementwise>[1]): Binary =>
    ((a: Operand, b: Operand) => elementwise(recorder, name, [a, b])) as Binary;
  const reduce =
    (name: Parameters<typeof reduceSegments>[1]): Reduce =>
    (x, segments) =>
      reduceSegments(recorder, name, x, segments) as Vector;
  return {
    add: binary("add"),
    sub: binary("sub"),
    mul: binary("mul"),
    div: binary("div"),
    min: binary("min"),
    max: binary("max"),
    neg: unary("neg"),
    exp: unary("exp"),
    log: unary("log"),
    log1p: unary("log1p"),
    sqrt: unary("sqrt"),
    square: unary("square"),
    sigmoid: unary("sigmoid"),
    logSigmoid: unary("logSigmoid"),
    normalCdf: unary("normalCdf"),
    clamp: ((x: Operand, low: number, high: number): Node => {
      if (!(low <= high)) throw shapeError("clamp", `needs low <= high; they are ${low} and ${high}.`);
      return elementwise(recorder, "clamp", [x, low, high]);
    }) as Tape["clamp"],
    where: (condition, a, b) => {
      const mask = Array.isArray(condition) ? Float64Array.from(condition, Number) : (condition as List);
      recorder.readVector("where", mask);
      return elementwise(recorder, "where", [mask, a, b]) as Vector;
    },
    stopGradient: ((x: Operand): Node => {
      const { kind, values } = recorder.read("stopGradient", x);
      return recorder.record(kind, values, [], () => undefined);
    }) as Unary,
    sum: (x) => total(recorder, "sum", x) as Scalar,
    mean: (x) => total(recorder, "mean", x) as Scalar,
    segmentSum: reduce("segmentSum"),
    segmentMean: reduce("segmentMean"),
    segmentLogSumExp: reduce("segmentLogSumExp"),
    spread: (x, segments) => {
      const { length } = recorder.readVector("spread", x).values;
      if (length !== segments.length - 1) {
        throw shapeError("spread", `was given ${length} values for ${segments.length - 1} segments.`);
      }
      return gather(recorder, "spread", x, segmentNumbers("spread", segments)) as Vector;
    },
    gather: (x, indices) => gather(recorder, "gather", x, indices) as Vector,
    slice: (x, start, end) => {
      const { length } = recorder.readVector("slice", x).values;
      const stop = end ?? length;
      if (!(start >= 0 && start <= stop && stop <= length)) {
        throw shapeError("slice", `from ${start} to ${stop} leaves a vector of ${length}.`);
      }
      return gather(
        recorder,
        "slice",
        x,
        Int32Array.from({ length: stop - start }, (_, at) => start + at),
      ) as Vector;
    },
  };
}
