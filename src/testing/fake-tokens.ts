/**
 * The fake worker's tokenizer: a token is a byte, with one id more for the end of a turn and one for a piece of a picture.
 *
 * @module
 */
import type { PlainMap } from "../bridge/index.js";

/** Ids from here on are no bytes. */
export const FAKE_TOKENS = { end: 256, image: 257, vocabulary: 258 } as const;

/** Side of the square of pixels that is one token of a picture. */
export const FAKE_PATCH = 28;

/** Bytes of the text, and the end of the turn on request. */
export function tokensOf(text: string, end = false): Int32Array {
  const bytes = Buffer.from(text, "utf8");
  const ids = new Int32Array(bytes.length + (end ? 1 : 0));
  ids.set(bytes);
  if (end) ids[bytes.length] = FAKE_TOKENS.end;
  return ids;
}

/** The text of ids; pictures and ends of turns are left out, bytes cut within a character are replaced. */
export function textOf(ids: Int32Array): string {
  return Buffer.from(ids.filter((id) => id < FAKE_TOKENS.end)).toString("utf8");
}

/** A prompt of the verb `encode` as ids: texts one after another, each picture as many tokens as its target size holds. */
export function promptTokens(prompt: PlainMap): Int32Array {
  const sizes = prompt["images"] as readonly (readonly [number, number])[];
  const messages = prompt["messages"] as readonly { readonly content: string | readonly PlainMap[] }[];
  let picture = 0;
  const pieces = messages.flatMap(({ content }) => {
    if (typeof content === "string") return [tokensOf(content)];
    return content.map((part) => {
      if (part["type"] === "text") return tokensOf(part["text"] as string);
      const [height, width] = sizes[picture]!;
      picture += 1;
      return new Int32Array((height / FAKE_PATCH) * (width / FAKE_PATCH)).fill(FAKE_TOKENS.image);
    });
  });
  return Int32Array.from(pieces.flatMap((piece) => [...piece]));
}
