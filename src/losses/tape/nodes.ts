/**
 * What a tape records: values, what they were made of, and how a derivative flows back.
 *
 * @module
 */
import { LossError } from "../../errors.js";

/** Numbers on a tape. Only the tape's operations make them. */
export interface Vector {
  readonly kind: "vector";
  /** [length] not to be written to. */
  readonly values: Float64Array;
}

/** One number on a tape. */
export interface Scalar {
  readonly kind: "scalar";
  /** [1] not to be written to. */
  readonly values: Float64Array;
}

/** What an operation takes. Plain numbers and arrays are constants; a number or scalar stands for every element. */
export type Operand = Scalar | Vector | number | Float64Array;

/** The inside of a `Vector` or `Scalar`. */
export interface Node {
  readonly kind: "scalar" | "vector";
  readonly values: Float64Array;
  /** Derivative of the loss by each value, added up on the way back; null where nothing depends on the log-probabilities. */
  readonly gradient: Float64Array | null;
  /** Null for constants, which belong to no tape. */
  readonly owner: Recorder | null;
}

/** Nodes in the order in which they were made, which backwards is an order in which derivatives are complete. */
export interface Recorder {
  /** Reads an operand. @throws LossError LOSS_SHAPE for anything else, or for a node of another tape */
  read(operation: string, operand: Operand): Node;
  /** The same, where only a vector makes sense. */
  readVector(operation: string, operand: Operand): Node;
  /** The input that the loss is differentiated by. */
  variable(values: Float64Array): Vector & Node;
  /**
   * Adds a value.
   *
   * @param back adds to the gradients of `parents` what they owe to the given gradient of this value; a parent without
   *   a gradient is a constant
   */
  record(
    kind: Node["kind"],
    values: Float64Array,
    parents: readonly Node[],
    back: (gradient: Float64Array) => void,
  ): Node;
  /** Runs the tape backwards from a scalar. @throws LossError LOSS_SHAPE where it is none, or does not depend on anything */
  backward(loss: Scalar): void;
}

/** A fresh tape. */
export function createRecorder(): Recorder {
  const steps: (() => void)[] = [];

  const recorder: Recorder = {
    read(operation, operand) {
      if (typeof operand === "number") return constant("scalar", Float64Array.of(operand));
      if (operand instanceof Float64Array) return constant("vector", operand);
      const node = operand as Partial<Node> | null | undefined;
      if (!(node?.values instanceof Float64Array)) {
        throw shapeError(operation, `takes numbers, Float64Arrays and values of the tape, not ${nameOf(operand)}.`);
      }
      if (node.owner !== null && node.owner !== recorder) {
        throw shapeError(
          operation,
          "was given a value of another call of the formula. Values live as long as one call; keep plain numbers instead.",
        );
      }
      return node as Node;
    },
    readVector(operation, operand) {
      const node = recorder.read(operation, operand);
      if (node.kind === "scalar") throw shapeError(operation, "takes a vector, and was given one number.");
      return node;
    },
    variable: (values) => ({ kind: "vector", values, gradient: new Float64Array(values.length), owner: recorder }),
    record(kind, values, parents, back) {
      if (parents.every((parent) => parent.gradient === null)) return constant(kind, values);
      const gradient = new Float64Array(values.length);
      steps.push(() => back(gradient));
      return { kind, values, gradient, owner: recorder };
    },
    backward(loss) {
      const { kind, gradient } = recorder.read("the formula", loss);
      if (kind !== "scalar") throw shapeError("the formula", "returned a vector; end it with sum or mean.");
      if (gradient === null) {
        throw shapeError(
          "the formula",
          "returned a constant: nothing in it depends on the policy's log-probabilities.",
        );
      }
      gradient[0] = 1;
      for (const step of steps.toReversed()) step();
    },
  };
  return recorder;
}

function constant(kind: Node["kind"], values: Float64Array): Node {
  return { kind, values, gradient: null, owner: null };
}

function nameOf(value: unknown): string {
  return value === null || typeof value !== "object" ? String(value) : `a ${value.constructor?.name ?? "record"}`;
}

/** @param problem what follows the name of the operation */
export function shapeError(operation: string, problem: string): LossError {
  return new LossError("LOSS_SHAPE", `${operation} ${problem}`, { fields: { operation } });
}
