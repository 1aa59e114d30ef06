/**
 * What a check of contradictions between keys is.
 *
 * @module
 */
import type { ConfigKey, ParsedConfig } from "./schema.js";

export interface CheckContext {
  /** Names of rewards the caller supplies besides the built-in ones. */
  readonly customRewards: readonly string[];
}

export interface Finding {
  readonly code: string;
  readonly message: string;
}

export interface Check {
  /** Keys it reads. The check is skipped when one of them is wrong by itself; the first places the problem. */
  readonly keys: readonly ConfigKey[];
  readonly find: (config: ParsedConfig, context: CheckContext) => Finding | null;
}

/** Two keys that cannot both have their way. */
export const conflict = (message: string): Finding => ({ code: "CONFIG_CONFLICT", message });

/** Numbers of which one must divide the other, and does not. */
export const indivisible = (message: string): Finding => ({ code: "CONFIG_NOT_DIVISIBLE", message });
