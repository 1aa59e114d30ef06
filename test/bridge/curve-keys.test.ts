/** Key files: whose they are, and what they are refused for. */
import { chmodSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { makeKeys } from "../../src/bridge/index.js";
import { readControlKeys } from "../../src/bridge/curve-keys.js";
import { toZ85 } from "../../src/bridge/doorkeeper.js";
import { keyFolder } from "./dialling.js";

const fieldsOf = (path: string) => JSON.parse(readFileSync(path, "utf8")) as Record<string, unknown>;

describe("key files", () => {
  it("are their owner's alone, and say who may dial in to whom", async () => {
    const { folder, control, keys, fileOf } = await keyFolder("node1", "node2");
    expect(readdirSync(folder).map((name) => [name, statSync(join(folder, name)).mode & 0o777])).toEqual([
      ["control.json", 0o600],
      ["node1.json", 0o600],
      ["node2.json", 0o600],
    ]);
    const [one, two, plane] = [fileOf("node1"), fileOf("node2"), control].map(fieldsOf);
    expect(one!["control_key"]).toBe(plane!["public_key"]);
    expect([...keys.workers]).toEqual([
      [one!["public_key"], "node1"],
      [two!["public_key"], "node2"],
    ]);
    expect(new Set([one, two, plane].map((fields) => fields!["secret_key"])).size).toBe(3);
  });

  it("of further workers join the list, and none is overwritten", async () => {
    const { folder, control, keys } = await keyFolder("node1");
    const made = await makeKeys(folder, ["node2", "constructor"]);
    expect(made.control).toMatchObject({ made: false, publicKey: keys.publicKey });
    expect([...(await readControlKeys(control)).workers.values()]).toEqual(["node1", "node2", "constructor"]);
    const before = readFileSync(control, "utf8");
    await expect(makeKeys(folder, ["node3", "node1"])).rejects.toMatchObject({ code: "KEYS_EXIST" });
    expect(readdirSync(folder)).toEqual(["constructor.json", "control.json", "node1.json", "node2.json"]);
    expect(readFileSync(control, "utf8")).toBe(before);
  });

  it("are refused when others may read them, when they list nobody, and when they are none, without a word of what is in them", async () => {
    const { folder, control } = await keyFolder("node1");
    chmodSync(control, 0o640);
    await expect(readControlKeys(control)).rejects.toMatchObject({ code: "KEYS_OPEN" });
    chmodSync(control, 0o600);
    const fields = fieldsOf(control);
    writeFileSync(control, JSON.stringify({ ...fields, workers: {} }));
    await expect(readControlKeys(control)).rejects.toMatchObject({ code: "KEYS_INVALID" });
    writeFileSync(control, JSON.stringify({ ...fields, secret_key: "not forty characters" }));
    const error = await readControlKeys(control).catch((thrown: Error) => thrown);
    expect(error).toMatchObject({ code: "KEYS_INVALID", message: expect.stringContaining("secret_key") as string });
    expect((error as Error).message).not.toContain("not forty");
    await expect(readControlKeys(join(folder, "none.json"))).rejects.toMatchObject({ code: "KEYS_MISSING" });
    await expect(makeKeys(folder, ["../elsewhere"])).rejects.toMatchObject({ code: "KEYS_INVALID" });
    await expect(makeKeys(folder, ["control"])).rejects.toMatchObject({ code: "KEYS_INVALID" });
    await expect(makeKeys(folder, ["twice", "twice"])).rejects.toMatchObject({ code: "KEYS_INVALID" });
    await expect(makeKeys(join(control, "below"), ["node2"])).rejects.toMatchObject({ code: "KEYS_UNWRITABLE" });
  });

  it("are written as RFC 32 does", () => {
    expect(toZ85(Buffer.from([0x86, 0x4f, 0xd2, 0x6f, 0xb5, 0x59, 0xf7, 0x5b]))).toBe("HelloWorld");
  });
});
