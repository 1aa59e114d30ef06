import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { decodeMessage, encodeMessage } from "../../src/bridge/codec.js";
import { BridgeError } from "../../src/errors.js";
import { bytesOf } from "../../src/bridge/tensor.js";
import type { Message } from "../../src/bridge/message.js";

const FOLDER = new URL("./frames/", import.meta.url);

interface LogicalTensor {
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly base64: string;
}

interface Case {
  readonly name: string;
  readonly message?: Record<string, unknown> & { readonly tensors?: Record<string, LogicalTensor> };
  readonly error?: string;
}

function framesOf(name: string): Buffer[] {
  const bytes = readFileSync(new URL(`${name}.bin`, FOLDER));
  const frames: Buffer[] = [];
  for (let at = 0; at < bytes.length;) {
    const length = bytes.readUInt32LE(at);
    frames.push(bytes.subarray(at + 4, at + 4 + length));
    at += 4 + length;
  }
  return frames;
}

/** A message as the case files write it: tensors in base64, non-finite numbers by name. */
function logical(message: Message): unknown {
  const tensors = Object.entries(message.tensors).map(([name, { dtype, shape, data }]) => {
    return [name, { dtype, shape, base64: Buffer.from(bytesOf(data)).toString("base64") }] as const;
  });
  return { ...message, tensors: Object.fromEntries(tensors) };
}

/** JSON has no NaN and no infinities: the case files name them. */
function revive(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(revive);
  if (value === null || typeof value !== "object") return value;
  const entries = Object.entries(value);
  if (entries.length === 1 && entries[0]![0] === "$float")
    return Number(String(entries[0]![1]).replace("inf", "Infinity"));
  return Object.fromEntries(entries.map(([key, one]) => [key, revive(one)]));
}

const cases = readdirSync(FOLDER)
  .filter((file) => file.endsWith(".json"))
  .map((file) => JSON.parse(readFileSync(new URL(file, FOLDER), "utf8")) as Case);

describe("golden frames", () => {
  it.each(cases.filter((one) => one.message !== undefined))("reads $name, and what it writes is read back", (one) => {
    const message = decodeMessage(framesOf(one.name));
    expect(logical(message)).toEqual({ params: {}, tensors: {}, ...(revive(one.message) as object) });
    expect(logical(decodeMessage(encodeMessage(message)))).toEqual(logical(message));
  });

  it.each(cases.filter((one) => one.error !== undefined))("refuses $name with $error", (one) => {
    expect(codeOf(() => decodeMessage(framesOf(one.name)))).toBe(one.error);
  });
});

function codeOf(work: () => unknown): string {
  try {
    work();
  } catch (error) {
    if (error instanceof BridgeError) return error.code;
    throw error;
  }
  return "no error";
}
