/**
 * Reads one data file, whatever its format: the first line tells.
 *
 * @module
 */
import { dirname, join } from "node:path";
import { parseJsonl } from "./jsonl.js";
import { isKadidHeader, kadidDataset, parseKadid } from "./presets/kadid.js";
import type { DataProblem } from "./problems.js";
import type { NumberedRecord, ReadRecords, RecordFormat } from "./record.js";
import { readLines } from "./text-lines.js";

export interface DataFile extends ReadRecords {
  /** Where pictures are looked for when nobody says. */
  readonly folders: readonly string[];
  /** Name of the data set when neither row nor configuration gives one; null when one of them must. */
  readonly dataset: string | null;
}

/**
 * Reads what can be read and lists what cannot; never throws for the file's content.
 *
 * @throws DataError DATA_FILE_UNREADABLE for a broken dataset.json beside KADID's list
 * @param format of the lines of a JSONL file; a list of scores has its own
 */
export async function readDataFile(file: string, format: RecordFormat): Promise<DataFile> {
  const { lines, problems } = await readLines(file);
  const isKadid = lines[0] !== undefined && isKadidHeader(lines[0].text);
  const parsed = isKadid ? parseKadid(file, lines) : parseJsonl(file, lines, format);
  const { records, duplicates } = withoutDuplicates(file, parsed.records);
  const found = [...problems, ...parsed.problems, ...duplicates].toSorted((a, b) => (a.line ?? 0) - (b.line ?? 0));
  if (records.length === 0 && found.length === 0) {
    found.push({ code: "DATA_FILE_EMPTY", file, line: null, message: "has no rows." });
  }
  const own = dirname(file);
  return {
    records,
    problems: found,
    folders: isKadid ? [join(own, "images"), own] : [own],
    dataset: isKadid ? await kadidDataset(file) : null,
  };
}

function withoutDuplicates(
  file: string,
  records: readonly NumberedRecord[],
): { readonly records: readonly NumberedRecord[]; readonly duplicates: readonly DataProblem[] } {
  const lineOfId = new Map<string, number>();
  const duplicates: DataProblem[] = [];
  const unique = records.filter(({ line, record: { id } }) => {
    const earlier = lineOfId.get(id);
    if (earlier === undefined) {
      lineOfId.set(id, line);
      return true;
    }
    const message = `the id "${id}" is taken by line ${earlier}. Ids must differ within a file.`;
    duplicates.push({ code: "DATA_DUPLICATE_ID", file, line, message });
    return false;
  });
  return { records: unique, duplicates };
}
