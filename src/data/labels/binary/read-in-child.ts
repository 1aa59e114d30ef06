/**
 * Reads a spreadsheet or parquet file in a process of its own: what a hostile file makes the libraries do (unpack without
 * end, allocate a billion rows, run in circles) ends that process and is a problem of that file.
 *
 * @module
 */
import { fork, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { availableParallelism } from "node:os";
import { fileURLToPath } from "node:url";
import { createGate } from "../../../images/index.js";
import type { CellRow } from "./cells.js";
import { LIMITS } from "./limits.js";
import type { ParquetTable } from "./parquet.js";
import type { TableProblem } from "./table-problem.js";

export interface ChildRequest {
  readonly format: "xlsx" | "parquet";
  readonly file: string;
  /** Name of a sheet. Default: the first. */
  readonly sheet?: string | undefined;
}

export interface ChildProblem {
  readonly problem: Pick<TableProblem, "code" | "message">;
}

interface Tables {
  readonly xlsx: { readonly rows: readonly CellRow[] };
  readonly parquet: ParquetTable;
}

export type ChildAnswer = Tables[keyof Tables] | ChildProblem;

type ChildLimits = Readonly<Record<"heapMiB" | "milliseconds", number>>;

/** A list may come in hundreds of files. */
const gate = createGate(availableParallelism());

/** Never rejects for the file's content. */
export function readInChild<F extends keyof Tables>(
  request: ChildRequest & { readonly format: F },
  limits: ChildLimits = LIMITS,
): Promise<Tables[F] | ChildProblem> {
  return gate(() => readNow(request, limits));
}

async function readNow<F extends keyof Tables>(
  request: ChildRequest,
  { heapMiB, milliseconds }: ChildLimits,
): Promise<Tables[F] | ChildProblem> {
  const child = forkChild(heapMiB);
  let printed = "";
  child.stderr?.setEncoding("utf8").on("data", (text: string) => (printed = (printed + text).slice(-4000)));
  const settled = new AbortController();
  const deadline = AbortSignal.timeout(milliseconds);
  const signal = AbortSignal.any([settled.signal, deadline]);
  try {
    const answered = once(child, "message", { signal }).then(([answer]) => answer as Tables[F] | ChildProblem);
    // Not "exit", which may come before the answer is read.
    const ended = once(child, "close", { signal }).then(([status, name]) => {
      if (!/heap out of memory|invalid table size/i.test(printed)) return endedWith(String(name ?? status), printed);
      return tooLarge(`reading it takes more than ${heapMiB} MiB of memory`);
    });
    child.send(request, () => undefined);
    return await Promise.race([answered, ended]);
  } catch (error) {
    if (!deadline.aborted) throw error;
    return tooLarge(`reading it takes longer than ${milliseconds / 1000} s`);
  } finally {
    settled.abort();
    child.kill("SIGKILL");
  }
}

function forkChild(heapMiB: number): ChildProcess {
  const fromSource = import.meta.url.endsWith(".ts");
  const script = fileURLToPath(new URL(fromSource ? "child.ts" : "child.js", import.meta.url));
  return fork(script, [], {
    silent: true,
    serialization: "advanced",
    execArgv: [`--max-old-space-size=${heapMiB}`, ...(fromSource ? ["--import", import.meta.resolve("tsx")] : [])],
  });
}

function endedWith(status: string, printed: string): ChildProblem {
  const message = `cannot be read: the process that reads it ended with ${status}. ${printed.trim()}`;
  return { problem: { code: "DATA_TABLE_BROKEN", message } };
}

function tooLarge(found: string): ChildProblem {
  const message = `is too large for a list of labels, or made to look so: ${found}. Save it as CSV.`;
  return { problem: { code: "DATA_TABLE_TOO_LARGE", message } };
}
