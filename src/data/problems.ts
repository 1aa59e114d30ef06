/**
 * What is wrong with data files: collected over all files, reported in one error.
 *
 * @module
 */
import { DataError } from "../errors.js";

export interface DataProblem {
  /** For programs, for example "DATA_IMAGE_MISSING". */
  readonly code: string;
  /** As the user named it. */
  readonly file: string;
  /** 1-based; null when it is about the whole file. */
  readonly line: number | null;
  /** What is wrong, what was expected, what to do; without the place. */
  readonly message: string;
}

/** Problems of one kind in one file that are written out; the rest is counted. */
const SHOWN = 20;
/** One folder too few makes every row a problem, and the first says it all. */
const SHOWN_PICTURES = 1;

/**
 * One error for all problems, each with file and line also in `fields.problems`.
 *
 * @param problems at least one
 * @returns its code is the problems' own where they all share one, otherwise DATA_INVALID
 */
export function dataError(problems: readonly DataProblem[]): DataError {
  const codes = new Set(problems.map((problem) => problem.code));
  const code = codes.size === 1 ? problems[0]!.code : "DATA_INVALID";
  const lines = describe(problems);
  const message =
    lines.length === 1
      ? lines[0]!.text
      : [
          `The data files have ${problems.length} problems:`,
          ...lines.map((line) => `  ${line.code}  ${line.text}`),
        ].join("\n");
  return new DataError(code, message, { fields: { problems } });
}

function describe(problems: readonly DataProblem[]): { readonly code: string; readonly text: string }[] {
  const kinds = new Map<string, DataProblem[]>();
  for (const problem of problems) {
    const kind = `${problem.file}\n${problem.code}`;
    const same = kinds.get(kind);
    if (same === undefined) kinds.set(kind, [problem]);
    else same.push(problem);
  }
  return [...kinds.values()].flatMap((same) => {
    const { code } = same[0]!;
    const shown = same.slice(0, code === "DATA_IMAGE_MISSING" ? SHOWN_PICTURES : SHOWN);
    const more = same.length - shown.length;
    return shown.map((problem, index) => ({
      code,
      text: place(problem) + problem.message + (index === shown.length - 1 ? inWords(more) : ""),
    }));
  });
}

function place({ file, line }: DataProblem): string {
  return line === null ? `${file}  ` : `${file}:${line}  `;
}

function inWords(more: number): string {
  if (more === 0) return "";
  return more === 1 ? " 1 more row has the same problem." : ` ${more} more rows have the same problem.`;
}
