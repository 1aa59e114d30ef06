/**
 * Lines of JSON to records, every problem with its line.
 *
 * @module
 */
import { isHeader } from "./header.js";
import { issueInWords } from "./record.js";
import type { NumberedRecord, ReadRecords, RecordFormat } from "./record.js";
import type { DataProblem } from "./problems.js";
import type { NumberedLine } from "./text-lines.js";

/**
 * A header record on the first line is passed over.
 *
 * @param file as problems name it
 */
export function parseJsonl(file: string, lines: readonly NumberedLine[], { schema }: RecordFormat): ReadRecords {
  const problems: DataProblem[] = [];
  const report = (code: string, line: number, message: string): void => {
    problems.push({ code, file, line, message });
  };
  const records: NumberedRecord[] = [];
  for (const { line, text } of lines) {
    const parsed = parseLine(text);
    if ("problem" in parsed) {
      report("DATA_NOT_JSON", line, parsed.problem);
      continue;
    }
    if (line === 1 && isHeader(parsed.value)) continue;
    const result = schema.safeParse(parsed.value);
    if (result.success) records.push({ line, record: result.data });
    else for (const issue of result.error.issues) report("DATA_FIELD", line, issueInWords(parsed.value, issue));
  }
  return { records, problems };
}

function parseLine(text: string): { readonly value: unknown } | { readonly problem: string } {
  try {
    return { value: JSON.parse(text) as unknown };
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    const hint = /\b(NaN|Infinity)\b/.test(text) ? " JSON has no NaN or Infinity: leave the row out." : "";
    return { problem: `the line is not JSON: ${error.message}.${hint}` };
  }
}
