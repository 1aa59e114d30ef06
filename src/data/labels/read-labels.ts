/**
 * Label files of a data set to scores of pictures, with every problem by file and line.
 *
 * @module
 */
import { extname, parse } from "node:path";
import type { DataProblem } from "../problems.js";
import { joinDeviations } from "./join-deviations.js";
import type { LabelPreset, LabelRange } from "./preset.js";
import { readLabelFile, type ListedPart, type ReadFile } from "./read-file.js";
import type { Label } from "./read-row.js";

export type { Label } from "./read-row.js";

export interface Labels {
  /** In the order of files and lines. */
  readonly labels: readonly Label[];
  readonly problems: readonly DataProblem[];
  /** Nominal range of the scores in these files; null when it is not known. */
  readonly range: LabelRange | null;
  /** Pictures that are no part of the set. */
  readonly leftOut: ReadFile["leftOut"];
}

/**
 * Never throws for the files' content.
 *
 * @throws EnvironmentError where MATLAB files are among them and Python cannot read them
 */
export async function readLabels(files: readonly string[], preset: LabelPreset): Promise<Labels> {
  const read = await Promise.all(tablesOf(files).map((one) => readLabelFile(one, preset)));
  const problems = read.flatMap((one) => one.problems);
  const { labels: all, problems: loose } = joinDeviations(read);
  problems.push(...loose);
  const { labels: own, leftOut } = leaveOut(all, read, preset);
  const { labels: unique, problems: double } = refuseDoubles(own);
  problems.push(...double);
  const { labels, problems: strangers } = withParts(unique, read, leftOut);
  problems.push(...strangers);
  const first = labels[0];
  if (first !== undefined && labels.length > 1 && labels.every(({ mos }) => mos === first.mos)) {
    const message = `all ${labels.length} scores are ${first.mos}, so no picture is better than another. Is it the right column?`;
    problems.push({ code: "DATA_CONSTANT_LABELS", file: first.file, line: null, message });
  }
  const scored = read.filter(({ parts, deviations }) => parts === undefined && deviations === undefined);
  const ranges = [...new Map(scored.map(({ range }) => [`${range?.min} ${range?.max}`, range])).values()];
  if (ranges.length > 1) {
    const message = "the files have scores on different scales. Prepare them one by one.";
    problems.push({ code: "DATA_LABEL_SCALES", file: scored[1]!.file, line: null, message });
  }
  if (scored.length === 0) {
    const message = "has no scores, nor has any other file. Give the one that has them as well.";
    problems.push({ code: "DATA_LABEL_COLUMNS", file: files[0]!, line: null, message });
  }
  return { labels, problems, range: ranges[0] ?? null, leftOut };
}

/** MATLAB files are one table, all others one each. */
function tablesOf(files: readonly string[]): (readonly string[])[] {
  const isMatlab = (file: string): boolean => extname(file).toLowerCase() === ".mat";
  const together = files.filter(isMatlab);
  const single = files.filter((file) => !isMatlab(file)).map((file) => [file]);
  return together.length === 0 ? single : [together, ...single];
}

function leaveOut(
  all: readonly Label[],
  read: readonly ReadFile[],
  preset: LabelPreset,
): Pick<Labels, "labels" | "leftOut"> {
  const isOut = ({ picture }: Label): boolean => preset.leaveOut?.matches.test(parse(picture).base) === true;
  const named = all.filter(isOut).map(({ picture }) => ({ picture, why: preset.leaveOut!.why }));
  return {
    labels: all.filter((label) => !isOut(label)),
    leftOut: [...read.flatMap((one) => one.leftOut), ...named],
  };
}

function refuseDoubles(all: readonly Label[]): Pick<Labels, "labels" | "problems"> {
  const seen = new Map<string, Label>();
  const problems: DataProblem[] = [];
  for (const label of all) {
    const { picture, file, line } = label;
    const earlier = seen.get(picture);
    if (earlier === undefined) seen.set(picture, label);
    else {
      const scores = earlier.mos === label.mos ? "with the same score" : `with ${earlier.mos}, and here ${label.mos}`;
      const message = `"${picture}" stands already on line ${earlier.line} of ${earlier.file}, ${scores}. Give each picture once.`;
      problems.push({ code: "DATA_DUPLICATE_PICTURE", file, line, message });
    }
  }
  return { labels: [...seen.values()], problems };
}

/** Parts from the files that list them; a picture that is in none of them is in the training part. */
function withParts(
  labels: readonly Label[],
  read: readonly ReadFile[],
  leftOut: Labels["leftOut"],
): Pick<Labels, "labels" | "problems"> {
  const listed = new Map<string, ListedPart>();
  for (const [picture, part] of read.flatMap(({ parts }) => [...(parts ?? [])])) {
    const other = listed.get(picture);
    if (other === undefined || other.rank <= part.rank) listed.set(picture, part);
  }
  if (listed.size === 0) return { labels, problems: [] };
  const known = new Set([...labels, ...leftOut].map(({ picture }) => picture));
  const strangers = [...listed].filter(([picture]) => !known.has(picture));
  return {
    labels: labels.map((label) => ({ ...label, part: listed.get(label.picture)?.part ?? "train" })),
    problems: strangers.map(([picture, { file, line }]) => ({
      code: "DATA_LABEL",
      file,
      line,
      message: `"${picture}" has no score in any of the files.`,
    })),
  };
}
