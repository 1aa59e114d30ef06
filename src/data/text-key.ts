/**
 * Makes a name part of a random draw.
 *
 * @module
 */
import { foldKey } from "../stats/index.js";

/** @returns an unsigned 64-bit integer that depends on every byte of the text's UTF-8 form, and on its length */
export function textKey(text: string): bigint {
  const bytes = Buffer.from(text);
  return foldKey(bytes.length, ...bytes);
}
