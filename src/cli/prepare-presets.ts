/**
 * `thurstone prepare --list-presets`: what is known of each data set.
 *
 * @module
 */
import { labelPresets, type LabelPreset } from "../data/index.js";
import type { CommandIo } from "./io.js";
import { table } from "./table.js";

export function listPresets({ json }: { readonly json: boolean }, io: CommandIo): void {
  const text = json ? JSON.stringify(labelPresets.map(described), null, 2) : presetTable().join("\n");
  io.stdout.write(`${text}\n`);
}

function described(preset: LabelPreset): object {
  const { name, dataset, rows, groups, range, better, files, contents, source, licence } = preset;
  return {
    name,
    dataset,
    rows,
    groups,
    range,
    better,
    officialSplit: hasSplit(preset),
    files,
    contents,
    source,
    licence,
  };
}

function presetTable(): string[] {
  const rows = labelPresets.map((preset) => {
    const { name, dataset, rows: count, groups, range, better, files } = preset;
    const scores = `${range === null ? "not fixed" : `${range.min} to ${range.max}`}, ${better} is better`;
    const split = hasSplit(preset) ? "official" : "seeded";
    return [name, dataset, numberOf(count), numberOf(groups), scores, split, files.replaceAll("`", "")];
  });
  return table(["preset", "data set", "rows", "contents", "scores", "split", "label files"], rows);
}

function hasSplit({ layouts, partLists = [] }: LabelPreset): boolean {
  return partLists.length > 0 || layouts.some(({ split }) => split !== undefined);
}

function numberOf(count: number | null): string {
  return count === null ? "-" : String(count);
}
