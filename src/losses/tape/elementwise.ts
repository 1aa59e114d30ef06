/**
 * Operations that work element by element, with their derivatives. At a kink the derivative is that of PyTorch.
 *
 * @module
 */
import { normalCdf } from "../../stats/index.js";
import { shapeError } from "./nodes.js";
import type { Node, Operand, Recorder } from "./nodes.js";

/** y = f(a, b, c), and dy/da, dy/db, dy/dc given y as well. Missing operands are 0. */
interface Rule {
  readonly value: (a: number, b: number, c: number) => number;
  readonly derivatives: readonly ((y: number, a: number, b: number, c: number) => number)[];
}

function sigmoid(x: number): number {
  const small = Math.exp(-Math.abs(x));
  return (x < 0 ? small : 1) / (1 + small);
}

/** 1 for the operand that won, 1/2 each on a tie. */
function share(won: number, other: number): number {
  return won > other ? 1 : won === other ? 0.5 : 0;
}

export const RULES = {
  add: { value: (a, b) => a + b, derivatives: [() => 1, () => 1] },
  sub: { value: (a, b) => a - b, derivatives: [() => 1, () => -1] },
  mul: { value: (a, b) => a * b, derivatives: [(_, __, b) => b, (_, a) => a] },
  div: { value: (a, b) => a / b, derivatives: [(_, __, b) => 1 / b, (y, _, b) => -y / b] },
  min: {
    value: (a, b) => Math.min(a, b),
    derivatives: [(_, a, b) => share(-a, -b), (_, a, b) => share(-b, -a)],
  },
  max: { value: (a, b) => Math.max(a, b), derivatives: [(_, a, b) => share(a, b), (_, a, b) => share(b, a)] },
  where: {
    value: (condition, a, b) => (condition === 0 ? b : a),
    derivatives: [() => 0, (_, condition) => (condition === 0 ? 0 : 1), (_, condition) => (condition === 0 ? 1 : 0)],
  },
  clamp: {
    value: (a, low, high) => Math.min(Math.max(a, low), high),
    derivatives: [(_, a, low, high) => (a >= low && a <= high ? 1 : 0)],
  },
  neg: { value: (a) => -a, derivatives: [() => -1] },
  exp: { value: Math.exp, derivatives: [(y) => y] },
  log: { value: Math.log, derivatives: [(_, a) => 1 / a] },
  log1p: { value: Math.log1p, derivatives: [(_, a) => 1 / (1 + a)] },
  sqrt: { value: Math.sqrt, derivatives: [(y) => 0.5 / y] },
  square: { value: (a) => a * a, derivatives: [(_, a) => 2 * a] },
  sigmoid: { value: sigmoid, derivatives: [(y) => y * (1 - y)] },
  logSigmoid: {
    value: (a) => Math.min(0, a) - Math.log1p(Math.exp(-Math.abs(a))),
    derivatives: [(_, a) => sigmoid(-a)],
  },
  normalCdf: { value: normalCdf, derivatives: [(_, a) => Math.exp((-a * a) / 2) / Math.sqrt(2 * Math.PI)] },
} as const satisfies Record<string, Rule>;

/** Applies a rule to operands of one length; a scalar stands for every element. */
export function elementwise(recorder: Recorder, name: keyof typeof RULES, operands: readonly Operand[]): Node {
  const { value, derivatives }: Rule = RULES[name];
  const [a, b, c] = [0, 1, 2].map((index) => recorder.read(name, operands[index] ?? 0)) as [Node, Node, Node];
  const vectors = [a, b, c].filter(({ kind }) => kind === "vector");
  const length = vectors[0]?.values.length ?? 1;
  const other = vectors.find(({ values }) => values.length !== length);
  if (other !== undefined) {
    throw shapeError(
      name,
      `was given a vector of ${length} and one of ${other.values.length}; vectors must have one length. ` +
        "Use spread for a value per segment, and gather for a choice of elements.",
    );
  }
  const of = (node: Node, index: number): number => node.values[node.kind === "scalar" ? 0 : index]!;

  const values = new Float64Array(length);
  for (let index = 0; index < length; index += 1) values[index] = value(of(a, index), of(b, index), of(c, index));
  return recorder.record(vectors.length === 0 ? "scalar" : "vector", values, [a, b, c], (gradient) => {
    for (const [position, derivative] of derivatives.entries()) {
      const target = [a, b, c][position]!;
      if (target.gradient === null) continue;
      for (let index = 0; index < length; index += 1) {
        // What nothing depends on stays out, so that an infinite slope in a branch that `where` did not take does no harm.
        if (gradient[index] === 0) continue;
        const slope = derivative(values[index]!, of(a, index), of(b, index), of(c, index));
        target.gradient[target.kind === "scalar" ? 0 : index]! += gradient[index]! * slope;
      }
    }
  });
}
