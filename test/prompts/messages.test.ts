import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import type { Message } from "../../src/data/index.js";
import { buildMessages, templateDigest, templateNames } from "../../src/prompts/index.js";

const golden = JSON.parse(readFileSync(new URL("../golden/prompt_golden.json", import.meta.url), "utf8")) as Record<
  "problem_text" | "user_text_think" | "user_text_non_think" | "question_template_think",
  string
>;
const image = { type: "image" } as const;
const text = (value: string) => ({ type: "text", text: value }) as const;
const ask = (...content: Exclude<Message["content"], string>): { messages: Message[] } => ({
  messages: [{ role: "user", content }],
});

describe("buildMessages", () => {
  it("renders the reference's training prompt: picture, then text, no system turn", () => {
    expect(buildMessages(ask(image, text(golden.problem_text)), "scoring")).toEqual([
      { role: "user", content: [image, text(golden.user_text_think)] },
    ]);
  });

  it("renders the reference's prompt without thinking", () => {
    expect(buildMessages(ask(image, text(golden.problem_text)), "scoring_non_thinking")).toEqual([
      { role: "user", content: [image, text(golden.user_text_non_think)] },
    ]);
  });

  it("takes the user's own text", () => {
    expect(buildMessages(ask(image, text("How good?")), "Look. {Question} Answer.")).toEqual([
      { role: "user", content: [image, text("Look. How good? Answer.")] },
    ]);
    expect(buildMessages(ask(image, text("How good?")), "{Question}")[0]!.content).toEqual([image, text("How good?")]);
  });

  it("keeps what looks like a replacement pattern in a question", () => {
    expect(buildMessages(ask(text("$& costs $1 in {Question}")), "A {Question} B")[0]!.content).toEqual([
      text("A $& costs $1 in {Question} B"),
    ]);
  });

  it("keeps pictures within the question where they are", () => {
    const row = ask(image, text("First, then "), image, text("; which is better?"));
    expect(buildMessages(row, "Compare: {Question} Say why.")[0]!.content).toEqual([
      image,
      text("Compare: First, then "),
      image,
      text("; which is better? Say why."),
    ]);
  });

  it("puts only the last user turn into the template", () => {
    const messages: Message[] = [
      { role: "system", content: "Be brief." },
      { role: "user", content: "Hello" },
      { role: "assistant", content: "Hi" },
      { role: "user", content: "Rate" },
    ];
    expect(buildMessages({ messages }, "Q: {Question}")).toEqual([
      ...messages.slice(0, 3),
      { role: "user", content: [text("Q: Rate")] },
    ]);
  });

  it.each(["scorin", "no place for it", "{Question} twice {Question}", "toString"])("refuses %j", (template) => {
    expect(() => buildMessages(ask(text("?")), template)).toThrow(
      expect.objectContaining({ name: "ConfigError", code: "CONFIG_INVALID_VALUE" }) as Error,
    );
    expect(() => buildMessages(ask(text("?")), template)).toThrow("scoring, scoring_non_thinking, scoring_distortion");
  });
});

describe("templateDigest", () => {
  it("is the SHA-256 of the template's text", () => {
    const expected = createHash("sha256").update(golden.question_template_think).digest("hex");
    expect(templateDigest("scoring")).toBe(expected);
    expect(templateDigest(golden.question_template_think)).toBe(expected);
    expect(templateDigest("scoring_non_thinking")).not.toBe(expected);
    expect(templateNames).toEqual(["scoring", "scoring_non_thinking", "scoring_distortion"]);
  });
});
