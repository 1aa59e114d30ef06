import { resolveConfig } from "../../src/config/index.js";
import type { ConfigInput } from "../../src/config/index.js";
import type { ConfigProblem } from "../../src/config/problems.js";
import type { ConfigError } from "../../src/errors.js";

/** What is said against a configuration, as "CODE: message"; nothing when it is accepted. */
export function said(input: object, options: { readonly customRewards?: readonly string[] } = {}): string[] {
  try {
    resolveConfig({ model_name_or_path: "m", ...input } as ConfigInput, options);
    return [];
  } catch (error) {
    const problems = (error as ConfigError).fields["problems"] as ConfigProblem[];
    return problems.map(({ code, message }) => `${code}: ${message}`);
  }
}
