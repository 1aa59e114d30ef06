/**
 * Problems of a configuration: what is wrong, and where it was written. All of them are reported in one error.
 *
 * @module
 */
import { ConfigError } from "../errors.js";

/** Where a value was written: a place in a file, or a flag. */
export interface Place {
  readonly file: string | null;
  /** 1-based. */
  readonly line: number | null;
  /** 1-based. */
  readonly column: number | null;
  /** As shown to people: "configs/mine.yaml:14:1" or "--beta"; empty for values given in code. */
  readonly text: string;
}

/** Place of values given in code. */
export const NOWHERE: Place = { file: null, line: null, column: null, text: "" };

export interface ConfigProblem {
  /** For programs, for example "CONFIG_UNKNOWN_KEY". */
  readonly code: string;
  readonly file: string | null;
  readonly line: number | null;
  readonly column: number | null;
  /** The key it is about; null when it is about a whole file. */
  readonly key: string | null;
  /** What is wrong, what was expected, what to do; without the place. */
  readonly message: string;
  /** The place as shown to people; may be empty. */
  readonly where: string;
}

/** Builds a problem at a place. */
export function problemAt(place: Place, code: string, key: string | null, message: string): ConfigProblem {
  const { file, line, column, text } = place;
  return { code, file, line, column, key, message, where: text };
}

function describe(problem: ConfigProblem): string {
  return problem.where === "" ? problem.message : `${problem.where}  ${problem.message}`;
}

/**
 * One error for all problems, also in `fields.problems`.
 *
 * @param problems at least one
 * @returns its code is the problems' own where they all share one, otherwise CONFIG_INVALID
 */
export function configError(problems: readonly ConfigProblem[]): ConfigError {
  const codes = new Set(problems.map((problem) => problem.code));
  const code = codes.size === 1 ? problems[0]!.code : "CONFIG_INVALID";
  const message =
    problems.length === 1
      ? describe(problems[0]!)
      : [
          `The configuration has ${problems.length} problems:`,
          ...problems.map((problem) => `  ${problem.code}  ${describe(problem)}`),
        ].join("\n");
  return new ConfigError(code, message, { fields: { problems } });
}
