/**
 * Ratings as tables: pictures in rows, models in columns, and each model's mean.
 *
 * @module
 */
import { mean, standardDeviation } from "../../stats/index.js";
import { formatNumber, printable, table } from "../table.js";
import type { ScoreRecord } from "./formats.js";

/** What one model did. */
export interface ModelRun {
  readonly model: string;
  /** Pictures rated now, not those that stood in the file, and the seconds for them without loading the model. */
  readonly rated: number;
  readonly seconds: number;
}

/** Records of one picture, one per model that has rated it. */
export type PictureScores = readonly ScoreRecord[];

/** Pictures in their order; with `best` the highest score of the first model first, those without one last. */
export function inOrder(pictures: readonly PictureScores[], { best, top }: OrderOptions): PictureScores[] {
  const score = (one: PictureScores): number => one[0]?.score ?? -Infinity;
  const ordered = best ? pictures.toSorted((a, b) => (score(a) === score(b) ? 0 : score(b) - score(a))) : [...pictures];
  return ordered.slice(0, top);
}

export interface OrderOptions {
  readonly best: boolean;
  /** Pictures at most. */
  readonly top: number | undefined;
}

/** With one model its deviation too; with several a column for each. */
export function scoreTable(pictures: readonly PictureScores[], models: readonly string[]): string[] {
  if (models.length === 1) {
    const rows = pictures.map(([one]) => [
      printable(one!.path),
      fixed(one!.score),
      fixed(one!.std),
      one!.score === null ? (one!.code ?? "-") : "",
    ]);
    return table(["picture", "score", "deviation", ""], rows);
  }
  const rows = pictures.map((records) => [
    printable(records[0]!.path),
    ...models.map((model) => fixed(records.find((one) => one.model === model)?.score ?? null)),
  ]);
  return table(["picture", ...models], rows);
}

/** One line per model: counts, mean and deviation of its scores, and how fast it was. */
export function summaryTable(runs: readonly ModelRun[], pictures: readonly PictureScores[]): string[] {
  const rows = runs.map(({ model, rated, seconds }) => {
    const own = pictures.flat().filter((one) => one.model === model);
    const scores = own.map(({ score }) => score).filter((score) => score !== null);
    return [
      model,
      String(own.length),
      String(scores.length),
      scores.length === 0 ? "-" : fixed(mean(scores)),
      fixed(standardDeviation(scores)),
      rated === 0 ? "-" : formatNumber(rated / seconds),
    ];
  });
  return table(["model", "pictures", "scored", "mean", "deviation", "pictures/s"], rows);
}

/** Why pictures have no score, one line for each reason; a picture says which models where it is not all of them. */
export function failureLines(pictures: readonly PictureScores[]): string[] {
  return pictures.flatMap((records) => {
    const models = new Map<string, string[]>();
    for (const { score, model, code, reason } of records) {
      if (score !== null) continue;
      const text = `${code ?? "no score"}  ${printable(reason ?? "")}`;
      models.set(text, [...(models.get(text) ?? []), model]);
    }
    return [...models].map(([text, own]) => {
      const which = own.length < records.length ? ` (${own.join(", ")})` : "";
      return `${printable(records[0]!.path)}${which}: ${text}`;
    });
  });
}

function fixed(value: number | null): string {
  return value === null ? "-" : value.toFixed(3);
}
