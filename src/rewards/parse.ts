/**
 * Reading a score out of a completion: the one parser of training, evaluation and scoring.
 *
 * Source: the answer layout of VisualQuality-R1 (arXiv 2505.14460). Its own reading (any first number anywhere, no range)
 * is kept as the reading "anywhere", for comparison runs.
 *
 * @module
 */

import { withQuirks } from "./reference-quirks.js";

/** Whether a score was read as it stands, was brought into the range, or could not be read. */
export type ParseStatus = "ok" | "clamped" | "failed";

export interface ParsedScore {
  readonly status: ParseStatus;
  /** Null when failed. */
  readonly score: number | null;
}

export interface ParseOptions {
  /**
   * `answer`: the last closed answer, which has to be one number. `anywhere`: the first number of the last closed answer, or
   * of the whole text where there is none, and no range, as in the reference's training code. Default "answer".
   */
  readonly reading?: "answer" | "anywhere";
  /** Read as the reference does: sets `reading`. Where the reference would make up a score, this fails. Default false. */
  readonly referenceParity?: boolean;
}

/** The scale every question template asks for. */
export const SCORE_RANGE = { minimum: 1, maximum: 5 } as const;

const WHOLE_NUMBER = /^([+-]?(?:\p{Nd}+(?:\.\p{Nd}*)?|\.\p{Nd}+))(?:\s*\/\s*5)?$/u;
const FIRST_NUMBER = /-?\p{Nd}+(?:\.\p{Nd}+)?/u;
const FAILED: ParsedScore = { status: "failed", score: null };

/**
 * The content of the last closed answer tag has to be one number, optionally followed by "/5". A number outside 1 to 5
 * is brought to the nearer end and flagged.
 *
 * @param text a completion, without special tokens; any string is accepted
 */
export function parseScore(text: string, options: ParseOptions = {}): ParsedScore {
  const answer = lastContent(text, "answer");
  const { reading = "answer" } = withQuirks(options);
  if (reading === "anywhere") {
    const first = FIRST_NUMBER.exec(answer ?? text);
    const score = first === null ? Infinity : decimalValue(first[0]);
    return Number.isFinite(score) ? { status: "ok", score } : FAILED;
  }
  const number = WHOLE_NUMBER.exec(answer?.trim() ?? "")?.[1];
  const raw = number === undefined ? Infinity : decimalValue(number);
  if (!Number.isFinite(raw)) return FAILED;
  const score = Math.min(SCORE_RANGE.maximum, Math.max(SCORE_RANGE.minimum, raw));
  return { status: score === raw ? "ok" : "clamped", score };
}

/** Content of the last `<tag>` that is opened and then closed; by search, because a lazy pattern is quadratic. */
export function lastContent(text: string, tag: string): string | undefined {
  const opens = `<${tag}>`;
  const closes = `</${tag}>`;
  let content: string | undefined;
  let from = 0;
  for (;;) {
    const opening = text.indexOf(opens, from);
    const closing = opening < 0 ? -1 : text.indexOf(closes, opening + opens.length);
    if (closing < 0) return content;
    content = text.slice(opening + opens.length, closing);
    from = closing + closes.length;
  }
}

/** Value of a decimal number whose digits may be of any script, as Python's `float` reads them. */
function decimalValue(number: string): number {
  if (/^[\d.+-]+$/.test(number)) return Number(number);
  return Number(number.replaceAll(/\p{Nd}/gu, (digit) => String(digitValue(digit.codePointAt(0)!))));
}

/** Unicode lists the digits of a script from 0 to 9 without a gap, so the distance to the run's start tells the value. */
function digitValue(codePoint: number): number {
  let start = codePoint;
  while (/^\p{Nd}$/u.test(String.fromCodePoint(start - 1))) start--;
  return (codePoint - start) % 10;
}
