/**
 * How ratings are written, and read again to go on behind them.
 *
 * @module
 */
import { DataError } from "../../errors.js";
import type { Rating } from "../../trainer/index.js";

/** One picture rated by one model. */
export interface ScoreRecord extends Omit<Rating, "id" | "scores" | "status"> {
  /** The picture. */
  readonly path: string;
  /** As it was given. */
  readonly model: string;
  /** Missing where a format does not keep them. */
  readonly scores?: Rating["scores"];
  readonly status?: Rating["status"];
}

/** jsonl: everything. csv: without single answers. txt: the reference's "path score", "nan" where there is none. */
export type ScoreFormat = "jsonl" | "csv" | "txt";

/** What stands in a text: its whole records, and the length of what they fill; what follows was cut in its middle. */
export interface Standing {
  readonly records: readonly ScoreRecord[];
  readonly length: number;
}

interface Form {
  readonly head: string;
  readonly line: (record: ScoreRecord) => string;
  /** @param model the only one, for a format that does not name it */
  readonly read: (text: string, model: string) => Standing;
}

const COLUMNS = ["path", "model", "score", "std", "status", "code", "reason"] as const;

export const FORMATS: Readonly<Record<ScoreFormat, Form>> = {
  jsonl: {
    head: "",
    line: (record) => `${JSON.stringify(record)}\n`,
    read: (text) => byLine(text, (line) => JSON.parse(line) as ScoreRecord),
  },
  csv: {
    head: `${COLUMNS.join(",")}\n`,
    line: (record) => `${COLUMNS.map((column) => quoted(record[column])).join(",")}\n`,
    read: readCsv,
  },
  txt: {
    head: "",
    line: referenceLine,
    read: (text, model) =>
      byLine(text, (line) => {
        const space = line.lastIndexOf(" ");
        const score = numberOf(line.slice(space + 1));
        return { path: line.slice(0, space), model, score, std: null };
      }),
  },
};

/** @throws DataError SCORE_PATH for a path that would not stay on its line */
export function referenceLine({ path, score }: ScoreRecord): string {
  if (/[\r\n]/.test(path)) {
    throw new DataError(
      "SCORE_PATH",
      `${JSON.stringify(path)} has a line break in it, which "path score" lines cannot hold. Write jsonl or csv.`,
    );
  }
  return `${path} ${score ?? "nan"}\n`;
}

function byLine(text: string, read: (line: string) => ScoreRecord): Standing {
  const length = text.lastIndexOf("\n") + 1;
  const lines = text.slice(0, length).split("\n").slice(0, -1);
  const records = lines.map((line, index) => {
    try {
      return read(line);
    } catch (error) {
      throw damaged(index + 1, error);
    }
  });
  return { records, length };
}

/** RFC 4180: a field with a comma, a quote or a line break stands in quotes, quotes in it twice. */
function quoted(value: string | number | null | undefined): string {
  const text = String(value ?? "");
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

function readCsv(text: string): Standing {
  const records: ScoreRecord[] = [];
  const row = /((?:"(?:[^"]|"")*"|[^",\n]*)(?:,(?:"(?:[^"]|"")*"|[^",\n]*))*)\n/y;
  const field = /(?:^|,)(?:"((?:[^"]|"")*)"|([^",\n]*))/g;
  let length = 0;
  for (let line = 1; ; line += 1) {
    const found = row.exec(text);
    if (found === null) return { records, length };
    length = row.lastIndex;
    const fields = [...found[1]!.matchAll(field)].map(
      ([, inQuotes, plain]) => inQuotes?.replaceAll('""', '"') ?? plain!,
    );
    if (fields.length !== COLUMNS.length) throw damaged(line);
    if (line > 1) records.push(recordOf(fields));
  }
}

function recordOf(fields: readonly string[]): ScoreRecord {
  const [path, model, score, std, status, code, reason] = fields as [string, ...string[]];
  return {
    path,
    model: model!,
    score: numberOf(score!),
    std: numberOf(std!),
    status: status as Rating["status"],
    ...(code !== "" && { code: code! }),
    ...(reason !== "" && { reason: reason! }),
  };
}

function numberOf(text: string): number | null {
  return text === "" || text === "nan" ? null : Number(text);
}

function damaged(line: number, cause?: unknown): DataError {
  return new DataError(
    "SCORE_FILE_DAMAGED",
    `line ${line} of the file of scores is none that was written by this command.`,
    {
      cause,
      fields: { line },
    },
  );
}
