/**
 * What the options of `bench/ranking.ts` say.
 *
 * @module
 */
import type { ConfigInput } from "../../src/config/index.js";

/** @returns the names between commas; none for an empty text */
export function parseNames(text: string): string[] {
  return text
    .split(",")
    .map((name) => name.trim())
    .filter((name) => name !== "");
}

/** @throws Error for what is no whole number from `least` */
export function parseNumber(option: string, text: string, least: number): number {
  const value = /^\d+$/.test(text.trim()) ? Number(text) : Number.NaN;
  if (Number.isSafeInteger(value) && value >= least) return value;
  throw new Error(`ranking: --${option} is "${text}"; it must be a whole number from ${least}.`);
}

/** @throws Error for what is no JSON object */
export function parseSettings(option: string, text: string): Partial<ConfigInput> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new Error(`ranking: --${option} is ${text}, which is no JSON: ${(cause as Error).message}`, { cause });
  }
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value;
  throw new Error(`ranking: --${option} is ${text}; it must be a JSON object such as {"max_steps": 100}.`);
}
