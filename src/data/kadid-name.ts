/**
 * What a KADID-10k file name says: `I07_03_02.png` is reference picture I07, distortion type 03, level 2.
 *
 * @module
 */
import { parse } from "node:path";

export interface KadidName {
  /** Reference picture, "I07": rows that show the same content. */
  readonly group: string;
  /** Number of the distortion type as KADID writes it, "01" to "25". */
  readonly type: string;
  /** 1 (weak) to 5 (strong). */
  readonly level: number;
}

/** @returns null for a name of another kind */
export function parseKadidName(path: string): KadidName | null {
  const match = /^(I\d+)_(\d{2})_(\d{2})$/.exec(parse(path).name);
  if (match === null) return null;
  const [, group, type, level] = match;
  return { group: group!, type: type!, level: Number(level) };
}
