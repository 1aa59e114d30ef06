/**
 * Soft overlong punishment: a completion that comes near the longest one allowed is paid less, token by token, instead of
 * being cut off without a word.
 *
 * Source: DAPO (arXiv 2503.14476), equation 13; TRL's `get_soft_overlong_punishment`.
 *
 * @module
 */

import { ConfigError } from "../errors.js";

export interface OverlongOptions {
  /** Tokens a completion may have. */
  readonly maxCompletionLength?: number;
  /** Tokens before the longest length within which the punishment grows. Default: a fifth of it, as in the paper. */
  readonly overlongCache?: number;
}

/**
 * @param length tokens of a completion, its end token included
 * @returns 0 up to `maxCompletionLength - overlongCache` tokens, from there falling by `1 / overlongCache` with every token
 *   to -1 at `maxCompletionLength`, and -1 beyond
 * @throws ConfigError CONFIG_MAX_COMPLETION_LENGTH, CONFIG_OVERLONG_CACHE
 */
export function overlongReward(length: number, options: OverlongOptions): number {
  const { maxCompletionLength: longest } = options;
  if (longest === undefined || !(longest > 0)) {
    throw new ConfigError(
      "CONFIG_MAX_COMPLETION_LENGTH",
      `the overlong reward compares with the longest completion allowed, and maxCompletionLength is ${longest}: give a positive number of tokens.`,
    );
  }
  const { overlongCache: cache = Math.ceil(longest / 5) } = options;
  if (!(cache > 0 && cache <= longest)) {
    throw new ConfigError(
      "CONFIG_OVERLONG_CACHE",
      `overlongCache is ${cache}, and maxCompletionLength ${longest}: give a number of tokens from 1 to that.`,
    );
  }
  return -Math.min(1, Math.max(0, (length - (longest - cache)) / cache));
}
