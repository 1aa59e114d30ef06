/**
 * Reads a golden file: numbers made by other people's code, see its "source".
 *
 * @module
 */

import { readFileSync } from "node:fs";

/** @param name file name without "_golden.json"; `T` is what the test needs of it */
export function readGolden<T>(name: string): T {
  return JSON.parse(readFileSync(new URL(`${name}_golden.json`, import.meta.url), "utf8")) as T;
}
