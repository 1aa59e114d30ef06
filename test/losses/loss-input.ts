/**
 * Inputs of custom losses made by hand, and derivatives by finite differences.
 *
 * @module
 */
import type { CustomLossInput, CustomLossResult } from "../../src/losses/index.js";

/** One group of one completion unless said otherwise; all weights 1, all advantages 0. */
export function lossInput(policy: readonly number[], more: Partial<CustomLossInput> = {}): CustomLossInput {
  const values = Float64Array.from(policy);
  const completions = more.completions ?? Int32Array.of(0, values.length);
  const count = completions.length - 1;
  return {
    policy: values,
    old: values.slice(),
    reference: values.slice(),
    advantages: new Float64Array(values.length),
    weights: new Float64Array(values.length).fill(1),
    completions,
    groups: Int32Array.of(0, count),
    positions: Int32Array.from({ length: count }, (_, index) => index),
    ...more,
  };
}

/** Central differences by every log-probability. */
export function finiteDifferences(
  loss: (input: CustomLossInput) => CustomLossResult,
  input: CustomLossInput,
  step = 1e-5,
): number[] {
  const at = (index: number, change: number): number => {
    const policy = input.policy.slice();
    policy[index]! += change;
    return loss({ ...input, policy }).loss;
  };
  return Array.from(input.policy, (_, index) => (at(index, step) - at(index, -step)) / (2 * step));
}
