/**
 * Patterns of paths, for shells that leave them alone and for quoted ones: `*`, `?`, `[abc]`, `[!abc]`, `{a,b}`, and `**`
 * for any number of folders. As in a shell, hidden names are met only by patterns that begin with a dot.
 *
 * @module
 */
import { readdir } from "node:fs/promises";
import path from "node:path";
import type { PlatformPath } from "node:path";

/** Whether a path is a pattern. */
export function isGlob(pattern: string): boolean {
  return /[*?[{]/.test(pattern);
}

export interface SplitGlob {
  /** "/", "C:\\" or the share of a network path. */
  readonly root: string;
  readonly segments: readonly string[];
}

/** A pattern as the folder it begins at, absolute, and the names below it, by the rules of a platform. */
export function splitGlob(pattern: string, platform: PlatformPath = path): SplitGlob {
  const whole = platform.resolve(pattern);
  const { root } = platform.parse(whole);
  return { root, segments: whole.slice(root.length).split(platform.sep) };
}

/** @returns absolute paths of the files that match, sorted; folders that cannot be read hold none */
export async function expandGlob(pattern: string): Promise<string[]> {
  const { root, segments } = splitGlob(pattern);
  return [...new Set(await walk(root, segments))].toSorted();
}

async function walk(folder: string, [segment, ...rest]: readonly string[]): Promise<string[]> {
  if (segment === undefined) return [];
  // What is no pattern is not listed: folders above may be unreadable, or very large.
  if (!isGlob(segment) && rest.length > 0) return walk(path.join(folder, segment), rest);
  const entries = await readdir(folder, { withFileTypes: true }).catch(() => []);
  if (segment === "**") {
    const below = entries.filter((entry) => entry.isDirectory() && !entry.name.startsWith("."));
    const deeper = below.map(({ name }) => walk(path.join(folder, name), [segment, ...rest]));
    return (await Promise.all([walk(folder, rest.length === 0 ? ["*"] : rest), ...deeper])).flat();
  }
  const matching = entries.filter(({ name }) => matcher(segment).test(name));
  if (rest.length === 0) {
    return matching.filter((entry) => !entry.isDirectory()).map(({ name }) => path.join(folder, name));
  }
  const folders = matching.filter((entry) => entry.isDirectory() || entry.isSymbolicLink());
  return (await Promise.all(folders.map(({ name }) => walk(path.join(folder, name), rest)))).flat();
}

/** The regular expression of one segment. */
function matcher(segment: string): RegExp {
  let depth = 0;
  const source = segment.replaceAll(/\[[^\]]+\]|[*?{},]|[.+^$()|[\]\\]/g, (part) => {
    if (part === "*") return ".*";
    if (part === "?") return ".";
    if (part === "{") {
      depth += 1;
      return "(?:";
    }
    if (part === "," && depth > 0) return "|";
    if (part === "}" && depth > 0) {
      depth -= 1;
      return ")";
    }
    if (part.length > 1) return part.replaceAll("\\", "\\\\").replace(/^\[!/, "[^");
    return part === "," ? part : `\\${part}`;
  });
  const visible = /^[*?[]/.test(segment) ? String.raw`(?!\.)` : "";
  return new RegExp(`^${visible}${source}${")".repeat(depth)}$`, "s");
}
