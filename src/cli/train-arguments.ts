/**
 * The arguments of `thurstone train`: its own options, configuration files, and configuration keys as flags.
 *
 * @module
 */
import { readFlags } from "../config/index.js";
import type { ReadFlags } from "../config/index.js";
import { ConfigError } from "../errors.js";

/** Options that are no configuration keys. As with keys, dashes within a name count as underscores. */
const OPTIONS = ["dry_run", "probe", "resume", "requeue", "json"] as const;
type Option = (typeof OPTIONS)[number];

export interface TrainArguments {
  /** YAML files, left to right. */
  readonly files: readonly string[];
  readonly flags: ReadFlags;
  readonly dryRun: boolean;
  readonly probe: boolean;
  readonly json: boolean;
}

/** @throws ConfigError CONFIG_FLAG for options that exclude each other, or that are given a value */
export function readTrainArguments(args: readonly string[]): TrainArguments {
  const given = new Set(args.map(optionOf).filter((option) => option !== null));
  const rest = args.filter((argument) => optionOf(argument) === null);
  const files: string[] = [];
  while (rest.length > 0 && !rest[0]!.startsWith("--")) files.push(rest.shift()!);
  for (let at = rest.indexOf("--config"); at >= 0; at = rest.indexOf("--config")) {
    const end = rest.findIndex((argument, index) => index > at && argument.startsWith("--"));
    files.push(...rest.splice(at, (end < 0 ? rest.length : end) - at).slice(1));
  }

  const flags = readFlags(rest);
  refuseContradictions(given, flags.values);
  return {
    files,
    flags: { ...flags, values: { ...flags.values, ...resumption(given) } },
    dryRun: given.has("dry_run"),
    probe: given.has("probe"),
    json: given.has("json"),
  };
}

function resumption(given: ReadonlySet<Option>): ReadFlags["values"] {
  if (given.has("requeue")) return { resume_from_checkpoint: "auto" };
  return given.has("resume") ? { resume_from_checkpoint: true } : {};
}

function optionOf(argument: string): Option | null {
  if (!argument.startsWith("--")) return null;
  const [name, value] = argument.slice(2).replaceAll("-", "_").split("=");
  const option = OPTIONS.find((one) => one === name) ?? null;
  if (option !== null && value !== undefined) throw wrong(`${argument} has a value, and this option takes none.`);
  return option;
}

function refuseContradictions(given: ReadonlySet<Option>, flags: ReadFlags["values"]): void {
  if (given.has("dry_run") && given.has("probe")) {
    throw wrong("--dry-run starts no worker and --probe does: give one of them.");
  }
  if (given.has("resume") && given.has("requeue")) {
    throw wrong("--requeue resumes where there is a checkpoint, and --resume insists on one: give one of them.");
  }
  for (const option of ["resume", "requeue"] as const) {
    if (!given.has(option)) continue;
    if (given.has("probe")) {
      throw wrong(`--probe looks at step 1 from model_name_or_path, not at a checkpoint: leave --${option} out.`);
    }
    if ("resume_from_checkpoint" in flags) {
      throw wrong(`--${option} takes the newest checkpoint and resume_from_checkpoint names one: give one of them.`);
    }
  }
}

function wrong(message: string): ConfigError {
  return new ConfigError("CONFIG_FLAG", message);
}
