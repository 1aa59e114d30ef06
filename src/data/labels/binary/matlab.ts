/**
 * Vectors of MATLAB 5 files as the columns of one table: data sets have names in one file and scores in another, in the
 * same order. scipy reads them, in the Python that the worker uses.
 *
 * @module
 */
import { z } from "zod";
import { EnvironmentError } from "../../../errors.js";
import { startPythonChild, type PythonOutcome } from "../../../python/index.js";
import type { DataProblem } from "../../problems.js";
import type { Table } from "../table.js";
import { cellOf } from "./cells.js";
import { LIMITS } from "./limits.js";

/** Column of each row's position in the vectors, from 1; no variable can be called so. */
export const POSITION = "#";

type Value = string | number | boolean;

/** NaN among them, which z.number() refuses. */
const valueSchema = z.custom<Value>((value) => ["string", "number", "boolean"].includes(typeof value));

const answerSchema = z.union([
  z.object({ columns: z.record(z.string(), z.array(valueSchema)) }),
  z.object({ problem: z.object({ code: z.string(), message: z.string() }) }),
]);

interface Vector {
  readonly file: string;
  readonly name: string;
  readonly values: readonly Value[];
}

export interface MatlabFiles {
  readonly files: readonly string[];
  readonly vectors: readonly Vector[];
  readonly problems: readonly DataProblem[];
}

/** @throws EnvironmentError ENVIRONMENT_PYTHON_MISSING, ENVIRONMENT_PACKAGE_MISSING (scipy), ENVIRONMENT_PYTHON_FAILED */
export async function readMatlabFiles(files: readonly string[]): Promise<MatlabFiles> {
  const vectors: Vector[] = [];
  const problems: DataProblem[] = [];
  let child = startPythonChild();
  try {
    for (const file of files) {
      if (!child.alive) child = startPythonChild();
      const call = { module: "thurstone_runtime.matlab", name: "read_columns", args: [file, LIMITS] };
      const answer = answerOf(await child.call(call, { timeout: LIMITS.milliseconds }));
      if ("problem" in answer) problems.push({ ...answer.problem, file, line: null });
      else vectors.push(...Object.entries(answer.columns).map(([name, values]) => ({ file, name, values })));
    }
  } finally {
    await child.close();
  }
  return { files, vectors, problems };
}

function answerOf(outcome: PythonOutcome): z.infer<typeof answerSchema> {
  if (outcome.kind === "value") return answerSchema.parse(outcome.value);
  if (outcome.kind === "late") {
    const message = `is too large for a list of labels: reading it takes longer than ${LIMITS.milliseconds / 1000} s.`;
    return { problem: { code: "DATA_TABLE_TOO_LARGE", message } };
  }
  // A signal: what scipy trusted in the file was wrong. An exit status: Python did not even start.
  if (outcome.kind === "ended" && outcome.status?.startsWith("SIG") === true) {
    const message = `is damaged: Python ended with ${outcome.status} when it read it.`;
    return { problem: { code: "DATA_TABLE_BROKEN", message } };
  }
  const said = outcome.kind === "raised" ? `${outcome.error}. ${outcome.traceback}` : outcome.output;
  if (/No module named '(scipy|numpy)/.test(said)) {
    throw new EnvironmentError(
      "ENVIRONMENT_PACKAGE_MISSING",
      'MATLAB files are read by scipy, which this Python does not have. Install it ("npx thurstone setup", or pip install scipy), or save the vectors as CSV.',
    );
  }
  throw new EnvironmentError("ENVIRONMENT_PYTHON_FAILED", `Python cannot read MATLAB files here: ${said}`);
}

/** @param wanted columns that are needed; default: all that are as long as the longest */
export function joinVectors(
  { files, vectors, problems: found }: MatlabFiles,
  wanted: readonly string[] | undefined,
): Table {
  const longest = Math.max(0, ...vectors.map(({ values }) => values.length));
  const chosen = vectors.filter(({ name, values }) => wanted?.includes(name) ?? values.length === longest);
  const length = Math.min(...chosen.map(({ values }) => values.length));
  const problems = [...found];
  const columns = new Map<string, Vector>();
  for (const vector of chosen) {
    const { name, file, values } = vector;
    const same = columns.get(name);
    const report = (message: string): void => void problems.push({ code: "DATA_TABLE_ROW", file, line: null, message });
    if (same === undefined) columns.set(name, vector);
    else report(`has ${name}, and so has ${same.file}. Give the one that holds.`);
    if (values.length > length) {
      report(`has ${values.length} values in ${name}, where another vector has ${length}: which belong together?`);
    }
  }
  const names = [...columns.keys()];
  const rows = Array.from({ length: chosen.length === 0 ? 0 : length }, (_, index) => ({
    line: index + 1,
    cells: {
      [POSITION]: String(index + 1),
      ...Object.fromEntries(names.map((name) => [name, cellOf(columns.get(name)!.values[index])])),
    },
  }));
  return {
    file: columns.values().next().value?.file ?? files[0]!,
    columns: [POSITION, ...names],
    rows,
    problems,
    fileOf: Object.fromEntries([...columns].map(([name, { file }]) => [name, file])),
  };
}
