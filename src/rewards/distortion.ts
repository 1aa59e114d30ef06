/**
 * The distortion reward: does the completion name what is wrong with the picture, and how badly?
 *
 * The answer is JSON, `{"distortion_class": "blur", "severity": 3}`, in the last closed distortion tag, or, for questions
 * about the distortion alone, in the last closed answer tag. The class is null for a picture without a distortion.
 *
 * Source: Q-Insight (arXiv 2503.22679) and its training code: keys, severities in words, and weights.
 *
 * @module
 */

import { z } from "zod";
import { lastContent } from "./parse.js";

/** What a completion says of a picture. */
export interface DistortionAnswer {
  /** As written; null where it says that there is none. */
  readonly type: string | null;
  /** 1 (slight) to 5 (catastrophic); null where none was given. */
  readonly level: number | null;
}

/** What is known of a picture. */
export interface KnownDistortion {
  /** "none" for a picture without one. */
  readonly type: string;
  /** Another name that counts: "gaussian blur" for KADID's "01". */
  readonly typeName?: string | undefined;
  /** 1 to 5, where known. */
  readonly level?: number | undefined;
}

export interface DistortionOptions {
  /** Share of the reward that the right type earns by itself; the level earns the rest. Default 0.25, as in Q-Insight. */
  readonly distortionTypeWeight?: number;
}

/** Q-Insight's words for the levels 1 to 5. */
const SEVERITIES = ["slight", "moderate", "obvious", "serious", "catastrophic"];
const NONE = "none";

const answer = z.object({
  distortion_class: z.string().nullable(),
  severity: z.union([z.string(), z.number()]).nullish(),
});

/**
 * @param text a completion; any string is accepted
 * @returns null where no such answer can be read. A severity that is neither a whole number from 1 to 5 nor a word for one
 *   is taken as not given.
 */
export function parseDistortion(text: string): DistortionAnswer | null {
  const content = lastContent(text, "distortion") ?? lastContent(text, "answer");
  const parsed = answer.safeParse(content === undefined ? undefined : jsonOf(content));
  if (!parsed.success) return null;
  const { distortion_class: type, severity = null } = parsed.data;
  return {
    type: type === null || isNone(plain(type)) ? null : type,
    level: severity === null ? null : levelOf(severity),
  };
}

/**
 * `w [type right] + (1 - w) [type and level right]`; `[type right]` alone where the level is not known or there is no distortion.
 *
 * Source: Q-Insight (arXiv 2503.22679), its degradation reward, with w = 0.25.
 *
 * @returns 0 for an answer that could not be read (null)
 */
export function distortionReward(
  said: DistortionAnswer | null,
  known: KnownDistortion,
  options: DistortionOptions = {},
): number {
  const { distortionTypeWeight: weight = 0.25 } = options;
  if (said === null || !sameType(said.type, known)) return 0;
  if (known.level === undefined || said.type === null) return 1;
  return said.level === known.level ? 1 : weight;
}

function sameType(said: string | null, { type, typeName }: KnownDistortion): boolean {
  if (said === null) return isNone(plain(type));
  return [type, ...(typeName === undefined ? [] : [typeName])].some((name) => plain(name) === plain(said));
}

/** Case, and how words are joined, make no difference. */
function plain(name: string): string {
  return name
    .normalize("NFKC")
    .toLowerCase()
    .replaceAll(/[\s_-]+/g, " ")
    .trim();
}

function isNone(name: string): boolean {
  return [NONE, "null", ""].includes(name);
}

function levelOf(severity: string | number): number | null {
  const word = plain(String(severity));
  const level = SEVERITIES.includes(word) ? SEVERITIES.indexOf(word) + 1 : Number(word === "" ? NaN : word);
  return Number.isInteger(level) && level >= 1 && level <= SEVERITIES.length ? level : null;
}

function jsonOf(content: string): unknown {
  try {
    return JSON.parse(content);
  } catch {
    return undefined;
  }
}
