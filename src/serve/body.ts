/**
 * A request's body, piece by piece, no further than allowed.
 *
 * @module
 */
import type { IncomingMessage } from "node:http";
import { z } from "zod";
import type { Hold } from "./budget.js";
import { Refusal } from "./refusal.js";

const MEBIBYTE = 2 ** 20;
/** A list of paths is never longer. */
const MAX_JSON_BYTES = MEBIBYTE;

export interface BodyOptions {
  readonly maxBytes: number;
  readonly hold: Hold;
}

/** @throws Refusal SERVE_TOO_LARGE or SERVE_BUSY for what the headers already say to be too much */
export function announceBody(request: IncomingMessage, { maxBytes, hold }: BodyOptions): void {
  const length = Number(request.headers["content-length"] ?? 0);
  if (length > maxBytes) throw tooLarge(maxBytes);
  hold.raise(length);
}

/**
 * The pieces of the body. Leaving early leaves the request readable, so that it can still be answered.
 *
 * @throws Refusal SERVE_TOO_LARGE or SERVE_BUSY
 */
export async function* readBody(
  request: IncomingMessage,
  { maxBytes, hold }: BodyOptions,
): AsyncGenerator<Uint8Array, void, undefined> {
  let bytes = 0;
  for await (const chunk of request.iterator({ destroyOnReturn: false }) as AsyncIterable<Uint8Array>) {
    bytes += chunk.byteLength;
    if (bytes > maxBytes) throw tooLarge(maxBytes);
    hold.raise(bytes);
    yield chunk;
  }
}

const asked = z
  .strictObject({ path: z.string().min(1).optional(), paths: z.array(z.string().min(1)).min(1).optional() })
  .refine(({ path, paths }) => (path === undefined) !== (paths === undefined));

/**
 * @returns the paths of `{"path": "a.jpg"}` or `{"paths": ["a.jpg", "b.jpg"]}`
 * @throws Refusal SERVE_JSON, SERVE_TOO_MANY, and those of the body
 */
export async function readPaths(
  request: IncomingMessage,
  { maxBytes, maxPictures, hold }: BodyOptions & { readonly maxPictures: number },
): Promise<readonly string[]> {
  const chunks: Uint8Array[] = [];
  const options = { maxBytes: Math.min(maxBytes, MAX_JSON_BYTES), hold };
  for await (const chunk of readBody(request, options)) chunks.push(chunk);
  const { path, paths = [path!] } = parsePaths(Buffer.concat(chunks));
  if (paths.length > maxPictures) {
    throw new Refusal("SERVE_TOO_MANY", `${paths.length} paths, and at most ${maxPictures} are taken.`);
  }
  return paths;
}

function parsePaths(body: Uint8Array): z.infer<typeof asked> {
  try {
    return asked.parse(JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(body)));
  } catch {
    throw new Refusal("SERVE_JSON", 'the body must be {"path": "a.jpg"} or {"paths": ["a.jpg", "b.jpg"]}.');
  }
}

function tooLarge(maxBytes: number): Refusal {
  return new Refusal("SERVE_TOO_LARGE", `the body has more than ${maxBytes} bytes, which is the most that is taken.`);
}
