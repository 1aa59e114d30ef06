/**
 * The rewards that a configuration brings along: what its modules export, and functions of Python files.
 *
 * @module
 */
import { pythonRewardNames } from "../config/index.js";
import type { ResolvedConfig } from "../config/index.js";
import { ConfigError } from "../errors.js";
import { findPython } from "../python/index.js";
import type { Reward } from "../rewards/index.js";
import { pythonReward } from "./python-reward.js";
import { loadRewardModules } from "./reward-modules.js";

/** Keys that bring rewards along, as they were written: whether they are right is found out later. */
export interface OwnRewardKeys {
  readonly rewards?: unknown;
  readonly python_reward?: unknown;
  readonly reward_funcs?: unknown;
}

/** Own rewards before the configuration is complete: it needs their names, and the Python ones need it. */
export interface OwnRewards {
  readonly names: readonly string[];
  /** All of them, by name. No Python runs yet. */
  rewards(config: ResolvedConfig): Readonly<Record<string, Reward>>;
}

/**
 * @throws ConfigError REWARD_MODULE for a module that cannot be loaded or exports no reward, CONFIG_REWARD_TWICE for a
 *   name that a module and a Python function share
 */
export async function loadOwnRewards(input: OwnRewardKeys): Promise<OwnRewards> {
  const paths = [input.rewards ?? []].flat().filter((path) => typeof path === "string");
  const modules = await loadRewardModules(paths);
  const functions = pythonRewardNames(input.python_reward);
  const twice = functions.find((one) => Object.hasOwn(modules, one.function));
  if (twice !== undefined) {
    throw new ConfigError(
      "CONFIG_REWARD_TWICE",
      `the reward "${twice.function}" is exported by a module (rewards) and a function of ${twice.path} (python_reward). Rename one.`,
    );
  }
  return {
    names: [...Object.keys(modules), ...functions.map((one) => one.function)],
    rewards: (config) => ({
      ...modules,
      ...Object.fromEntries(functions.map((one) => [one.function, pythonReward({ ...one, ...pythonOptions(config) })])),
    }),
  };
}

/** Own rewards count, weight 1 each, unless `reward_funcs` says which rewards do. */
export function namedRewards(input: OwnRewardKeys, { names }: OwnRewards): { readonly reward_funcs?: string[] } {
  return input.reward_funcs === undefined && names.length > 0 ? { reward_funcs: [...names] } : {};
}

function pythonOptions(config: ResolvedConfig) {
  const { python_reward_format: format, python_reward_timeout: seconds, question_template, python_bin } = config;
  return {
    format,
    timeoutMs: seconds * 1000,
    template: question_template,
    ...(python_bin !== null && { location: findPython({ env: { ...process.env, PYTHON_BIN: python_bin } }) }),
  };
}
