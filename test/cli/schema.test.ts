/**
 * `thurstone schema` prints JSON Schema and takes nothing.
 *
 * @module
 */
import { expect, it } from "vitest";
import { schemaCommand, schemaText } from "../../src/cli/schema.js";

async function run(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  const written = { out: "", err: "" };
  const code = await schemaCommand(args, {
    stdout: { write: (text) => (written.out += text) },
    stderr: { write: (text) => (written.err += text) },
    env: {},
    cwd: "/",
    verbose: false,
  });
  return { code, ...written };
}

it("prints the schema, and nothing else", async () => {
  const { code, out, err } = await run();
  expect({ code, err }).toEqual({ code: 0, err: "" });
  expect(out).toBe(schemaText());
  expect((JSON.parse(out) as { title: string }).title).toBe("Configuration of a thurstone run");
});

it("explains itself, and refuses arguments", async () => {
  expect((await run("--help")).out).toContain("Usage: thurstone schema");
  expect(await run("more")).toEqual({ code: 2, out: "", err: "thurstone schema takes no arguments, and got: more\n" });
});
