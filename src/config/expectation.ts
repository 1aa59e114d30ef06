/**
 * What a key accepts, in words, read off its schema; used in error messages and in the documentation.
 *
 * @module
 */
import { z } from "zod";

type Json = z.core.JSONSchema.BaseSchema;

/** JSON Schema of what may be written for a key. */
export function inputSchema(schema: z.ZodType): Json {
  return z.toJSONSchema(schema, { io: "input" });
}

function alternatives(json: Json): Json[] {
  if (Array.isArray(json.type)) return json.type.map((type) => ({ ...json, type }));
  return (json.anyOf as Json[] | undefined)?.flatMap(alternatives) ?? [json];
}

/** The JSON types a key accepts, and those of the entries of a list it accepts. */
export function acceptedTypes(schema: z.ZodType): { readonly types: Set<string>; readonly list: boolean } {
  const all = alternatives(inputSchema(schema));
  const list = all.some((json) => json.type === "array");
  const entries = all.flatMap((json) => (json.type === "array" ? alternatives(json.items as Json) : [json]));
  return { types: new Set(entries.map((json) => String(json.type))), list };
}

function limits(json: Json): string {
  const safe = (value: unknown): value is number =>
    typeof value === "number" && Number.isSafeInteger(Math.trunc(value));
  const parts: string[] = [];
  if (safe(json.exclusiveMinimum)) parts.push(`above ${json.exclusiveMinimum}`);
  if (safe(json.minimum) && json.minimum !== Number.MIN_SAFE_INTEGER) parts.push(`at least ${json.minimum}`);
  if (safe(json.exclusiveMaximum)) parts.push(`below ${json.exclusiveMaximum}`);
  if (safe(json.maximum) && json.maximum !== Number.MAX_SAFE_INTEGER) parts.push(`at most ${json.maximum}`);
  return parts.length === 0 ? "" : ` ${parts.join(" and ")}`;
}

function words(json: Json): string {
  if (json.const !== undefined) return JSON.stringify(json.const);
  if (Array.isArray(json.enum)) return json.enum.map((value) => JSON.stringify(value)).join(" | ");
  if (json.type === "integer") return `a whole number${limits(json)}`;
  if (json.type === "number") return `a number${limits(json)}`;
  if (json.type === "boolean") return "true or false";
  if (json.type === "null") return "null";
  if (json.type === "object") return fields(json);
  if (json.type === "array") return `a list of ${plural(json.items as Json)}`;
  return "a text";
}

function fields({ properties = {}, additionalProperties: others }: Json): string {
  if (typeof others === "object") return `{name: ${words(others)}, ...}`;
  const each = Object.entries(properties).map(([name, value]) => `${name}: ${words(value as Json)}`);
  return `{${each.join(", ")}}`;
}

function plural(json: Json): string {
  if (json.type === "string" && json.enum === undefined) return "texts";
  if (json.type === "number") return "numbers";
  return `(${words(json)})`;
}

/** For example "a whole number at least 2" or "a number at least 0, or null". */
export function expectation(schema: z.ZodType): string {
  return alternatives(inputSchema(schema)).map(words).join(", or ");
}
