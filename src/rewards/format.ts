/**
 * The format reward: did the completion think, then answer, and nothing else?
 *
 * Source: VisualQuality-R1 (arXiv 2505.14460). Its pattern accepts repeated tags and answers without a number; that is
 * kept as the layout "loose".
 *
 * @module
 */

import { parseScore } from "./parse.js";
import { withQuirks } from "./reference-quirks.js";

export interface FormatOptions {
  /** False where the question asks for the answer alone: then the text is one answer block. Default true. */
  readonly thinking?: boolean;
  /**
   * `exact`: every tag once, and an answer that parses. `loose`: the reference's pattern, a think block before an answer block
   * with anything inside them, whatever the question asks for. Default "exact".
   */
  readonly layout?: "exact" | "loose";
  /** Accept what the reference's training code accepts: sets `layout`. Default false. */
  readonly referenceParity?: boolean;
}

/** What Python's `\s*` matches, which is not quite what JavaScript's does. */
const WHITE_SPACE = "[\\t-\\r\\x1c- \\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000]*";
const GAP = new RegExp(`^${WHITE_SPACE}$`);
const REFERENCE = new RegExp(`^<think>.*?</think>${WHITE_SPACE}<answer>.*?</answer>$`, "s");

/**
 * @param text a completion, without special tokens
 * @returns 1 for exactly one think block followed by exactly one answer block whose content parses as a score, with
 *   nothing but white space between the two and nothing around them; else 0
 */
export function formatReward(text: string, options: FormatOptions = {}): 0 | 1 {
  const { thinking = true, layout = "exact" } = withQuirks(options);
  if (layout === "loose") return REFERENCE.test(text) ? 1 : 0;
  return blocks(text, thinking) && parseScore(text).status !== "failed" ? 1 : 0;
}

/** Every tag once, in order, at the right place. */
function blocks(text: string, thinking: boolean): boolean {
  const tags = [...text.matchAll(/<\/?(?:think|answer)>/g)];
  const expected = thinking ? ["<think>", "</think>", "<answer>", "</answer>"] : ["<answer>", "</answer>"];
  if (tags.length !== expected.length || tags.some((tag, index) => tag[0] !== expected[index])) return false;
  const gap = thinking ? text.slice(tags[1]!.index + "</think>".length, tags[2]!.index) : "";
  return tags[0]!.index === 0 && text.endsWith("</answer>") && GAP.test(gap);
}
