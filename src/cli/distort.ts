/**
 * `thurstone distort`: photographs degraded in KADID-10k's ways, with its scores.
 *
 * @module
 */
import { join, resolve } from "node:path";
import { findPhotos, writeContactSheet, writeDegradedSet, type DegradedSet } from "../data/index.js";
import { PACKAGE_ROOT } from "../python/index.js";
import type { CommandIo } from "./io.js";

export interface DistortCommandOptions {
  /** Files and folders, relative to the current directory. */
  readonly photos: readonly string[];
  /** Where the set goes; at least one of `out` and `contactSheet` is given. */
  readonly out?: string;
  readonly contactSheet?: string;
  readonly types?: readonly string[];
  readonly levels?: readonly number[];
  readonly seed: number;
  readonly raters?: number;
  readonly longestSide?: number;
  readonly overwrite: boolean;
  readonly json: boolean;
}

/** Writes a set, a contact sheet of the first photograph, or both; says what was written. */
export async function distortPhotos(options: DistortCommandOptions, io: CommandIo): Promise<void> {
  const { types, levels, seed, raters, longestSide } = options;
  const photos = await findPhotos(options.photos.map((path) => resolve(io.cwd, path)));
  const chosen = {
    seed,
    ...(types !== undefined && { types }),
    ...(levels !== undefined && { levels }),
    ...(longestSide !== undefined && { longestSide }),
  };
  let set: DegradedSet | null = null;
  if (options.out !== undefined) {
    set = await writeDegradedSet({
      ...chosen,
      photos,
      outDir: resolve(io.cwd, options.out),
      meansFile: join(PACKAGE_ROOT, "assets/kadid/means.json"),
      ...(raters !== undefined && { raters }),
      overwrite: options.overwrite,
      onPhoto: (done) => void io.stderr.write(`photograph ${done} of ${photos.length}\n`),
    });
  }
  const sheet = options.contactSheet === undefined ? null : resolve(io.cwd, options.contactSheet);
  if (sheet !== null) await writeContactSheet({ ...chosen, photo: photos[0]!, file: sheet });
  if (options.json) io.stdout.write(`${JSON.stringify({ ...set, contactSheet: sheet }, null, 2)}\n`);
  else io.stdout.write(report(set, sheet).join("\n") + "\n");
}

function report(set: DegradedSet | null, sheet: string | null): string[] {
  const lines: string[] = [];
  if (set !== null) {
    lines.push(`${set.pictures} pictures of ${set.references.length} photographs in ${set.outDir}`);
    const grey = set.references.filter(({ skipped }) => skipped.length > 0);
    for (const { photo, skipped } of grey) {
      lines.push(`left out for ${photo}, which has no colours to change: types ${skipped.join(", ")}`);
    }
    lines.push(`scores: ${set.dataFile} (KADID-10k's means by type and level; nobody judged these pictures)`);
  }
  if (sheet !== null) lines.push(`contact sheet: ${sheet}`);
  return lines;
}
