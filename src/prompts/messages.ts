/**
 * From a row to the chat messages a model is asked with.
 *
 * One renderer serves training, evaluation and scoring. There is no system turn: the checkpoint's chat template brings its
 * own, as in the reference.
 *
 * @module
 */
import type { ContentPart, Message, Row } from "../data/index.js";
import { findTemplate } from "./templates.js";

/**
 * Puts the last user turn of a row into the template; pictures at its beginning stay in front of the template's text.
 *
 * @param template name of a built-in template, or a text with `{Question}` in it
 * @throws ConfigError for an unknown template
 */
export function buildMessages(row: Pick<Row, "messages">, template: string): Message[] {
  const { before, after } = findTemplate(template);
  const asked = row.messages.findLastIndex((message) => message.role === "user");
  return row.messages.map((message, index) => {
    if (index !== asked) return message;
    const parts = partsOf(message);
    const leading = parts.findIndex((part) => part.type !== "image");
    const question = leading === -1 ? parts.length : leading;
    const content = joinTexts([
      ...parts.slice(0, question),
      { type: "text", text: before },
      ...parts.slice(question),
      { type: "text", text: after },
    ]);
    return { role: message.role, content };
  });
}

function partsOf({ content }: Message): readonly ContentPart[] {
  return typeof content === "string" ? [{ type: "text", text: content }] : content;
}

/** Neighbouring texts become one, empty ones disappear. */
function joinTexts(parts: readonly ContentPart[]): ContentPart[] {
  const joined: ContentPart[] = [];
  for (const part of parts) {
    const last = joined.at(-1);
    if (part.type === "text" && part.text === "") continue;
    if (part.type === "text" && last?.type === "text") {
      joined[joined.length - 1] = { type: "text", text: last.text + part.text };
    } else joined.push(part);
  }
  return joined;
}
