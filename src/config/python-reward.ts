/**
 * How `python_reward` names a function: `./my_rewards.py:accuracy_reward`.
 *
 * @module
 */

/** The file, and the name of a function in it. */
export const PYTHON_REWARD = /^(?<path>.+\.py):(?<function>[A-Za-z_]\w*)$/s;

/** A reward function in a Python file; the reward is named after the function. */
export interface PythonRewardName {
  readonly path: string;
  readonly function: string;
}

/** What the values of `python_reward` name, whatever else is wrong with them; they need not have been checked. */
export function pythonRewardNames(values: unknown): PythonRewardName[] {
  return [values ?? []].flat().flatMap((value) => {
    const found = typeof value === "string" ? PYTHON_REWARD.exec(value)?.groups : undefined;
    return found === undefined ? [] : [{ path: found["path"]!, function: found["function"]! }];
  });
}
