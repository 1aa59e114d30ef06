/**
 * What a decoder finds wrong, before it becomes an error that names the request it belongs to.
 *
 * @module
 */
import type { PlainMap } from "./types.js";

/** `code` is one of docs/protocol.md, section 1; `header` is what could be read of the message. */
export class WireProblem extends Error {
  constructor(
    readonly code: string,
    message: string,
    readonly header?: PlainMap,
  ) {
    super(message);
  }
}
