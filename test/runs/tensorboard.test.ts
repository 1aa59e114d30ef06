import { appendFileSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { crc32c, frame, openEventFile, truncateEventFiles } from "../../src/runs/tensorboard.js";
import { temporaryFolder } from "./temporary.js";

/** A reader of its own: bit by bit checksum, field by field protobuf. */
function readEvents(
  bytes: Buffer,
): { wallTime: number; step: number; version?: string; values: Record<string, number> }[] {
  const events = [];
  for (let offset = 0; offset < bytes.length;) {
    const length = Number(bytes.readBigUInt64LE(offset));
    expect(bytes.readUInt32LE(offset + 8)).toBe(mask(slowCrc(bytes.subarray(offset, offset + 8))));
    const payload = bytes.subarray(offset + 12, offset + 12 + length);
    expect(bytes.readUInt32LE(offset + 12 + length)).toBe(mask(slowCrc(payload)));
    events.push(readEvent(payload));
    offset += 16 + length;
  }
  return events;
}

function slowCrc(bytes: Uint8Array): number {
  let crc = ~0;
  for (const byte of bytes) {
    for (let bit = 0; bit < 8; bit += 1) {
      const odd = ((crc ^ (byte >>> bit)) & 1) === 1;
      crc = odd ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1;
    }
  }
  return ~crc >>> 0;
}

function mask(crc: number): number {
  return Number(((((BigInt(crc) >> 15n) | (BigInt(crc) << 17n)) & 0xffffffffn) + 0xa282ead8n) & 0xffffffffn);
}

function* fields(bytes: Buffer): Generator<{ field: number; wire: number; number: number; content: Buffer }> {
  let offset = 0;
  const varint = (): number => {
    let [value, scale, byte] = [0, 1, 0x80];
    while (byte >= 0x80) {
      byte = bytes[offset++] ?? 0;
      value += (byte % 0x80) * scale;
      scale *= 0x80;
    }
    return value;
  };
  while (offset < bytes.length) {
    const key = varint();
    const [field, wire] = [key >> 3, key & 7];
    const number = wire === 0 ? varint() : 0;
    const size = wire === 1 ? 8 : wire === 5 ? 4 : wire === 2 ? varint() : 0;
    yield { field, wire, number, content: bytes.subarray(offset, offset + size) };
    offset += size;
  }
}

function readEvent(payload: Buffer): {
  wallTime: number;
  step: number;
  version?: string;
  values: Record<string, number>;
} {
  const event: { wallTime: number; step: number; version?: string; values: Record<string, number> } = {
    wallTime: 0,
    step: 0,
    values: {},
  };
  for (const { field, number, content } of fields(payload)) {
    if (field === 1) event.wallTime = content.readDoubleLE();
    if (field === 2) event.step = number;
    if (field === 3) event.version = content.toString();
    if (field !== 5) continue;
    for (const value of fields(content)) {
      const parts = new Map([...fields(value.content)].map((part) => [part.field, part.content]));
      event.values[parts.get(1)?.toString() ?? ""] = parts.get(2)?.readFloatLE() ?? Number.NaN;
    }
  }
  return event;
}

function only(folder: string): Buffer {
  const [name, ...others] = readdirSync(folder);
  expect(others).toEqual([]);
  expect(name).toContain("tfevents");
  return readFileSync(join(folder, name ?? ""));
}

describe("the checksum", () => {
  it("is CRC-32C: the vectors of RFC 3720, appendix B.4", () => {
    expect(crc32c(new Uint8Array(32))).toBe(0x8a9136aa);
    expect(crc32c(new Uint8Array(32).fill(0xff))).toBe(0x62a8ab43);
    expect(crc32c(Uint8Array.from({ length: 32 }, (_, index) => index))).toBe(0x46dd794e);
    expect(crc32c(Buffer.from("123456789"))).toBe(0xe3069283);
  });

  it("stands masked behind the length and behind the content", () => {
    const framed = frame(Buffer.from("123456789"));
    expect(framed.subarray(0, 8).toString("hex")).toBe("0900000000000000");
    expect(framed.readUInt32LE(8)).toBe(mask(slowCrc(framed.subarray(0, 8))));
    // 0xe3069283 rotated right by 15 is 0x2507c60d; plus 0xa282ead8 is 0xc78ab0e5.
    expect(framed.readUInt32LE(21)).toBe(0xc78ab0e5);
  });
});

describe("an event file", () => {
  it("holds the bytes worked out by hand from event.proto and summary.proto", () => {
    const folder = temporaryFolder();
    openEventFile(folder, 1).scalars(3, { reward: 0.5 }, 1.5);
    const version = Buffer.concat([Buffer.from("09000000000000f03f1a0d", "hex"), Buffer.from("brain.Event:2")]);
    const scalar = Buffer.concat([
      Buffer.from("09000000000000f83f" + "1003" + "2a0f" + "0a0d" + "0a06", "hex"),
      Buffer.from("reward"),
      Buffer.from("150000003f", "hex"),
    ]);
    expect(only(folder)).toEqual(Buffer.concat([frame(version), frame(scalar)]));
  });

  it("reads back with steps, tags and float32 values; unknown values are left out", () => {
    const folder = temporaryFolder();
    const file = openEventFile(folder, 10);
    file.scalars(1, { reward: 0.1, kl: null, "eval/srcc": -1 }, 11);
    file.scalars(300_000_000_000, { reward: 2 }, 12);
    file.scalars(4, { kl: null }, 13);
    expect(readEvents(only(folder))).toEqual([
      { wallTime: 10, step: 0, version: "brain.Event:2", values: {} },
      { wallTime: 11, step: 1, values: { reward: Math.fround(0.1), "eval/srcc": -1 } },
      { wallTime: 12, step: 300_000_000_000, values: { reward: 2 } },
    ]);
  });

  it("goes on in the same file after a cut at a step and a torn record", () => {
    const folder = temporaryFolder();
    const first = openEventFile(folder, 0);
    for (const step of [1, 2, 200, 3]) first.scalars(step, { reward: step }, step);
    truncateEventFiles(folder, 2);
    appendFileSync(join(folder, readdirSync(folder)[0] ?? ""), "torn");
    openEventFile(folder, 0).scalars(3, { reward: 3 }, 3);
    expect(readEvents(only(folder)).map(({ step }) => step)).toEqual([0, 1, 2, 3]);
  });
});
