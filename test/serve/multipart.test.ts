import { Readable } from "node:stream";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { readMultipart } from "../../src/serve/multipart.js";
import { BOUNDARY, form } from "./client.js";

const TYPE = `multipart/form-data; boundary=${BOUNDARY}`;
const uploads = async (body: string | Uint8Array, { type = TYPE, cut = 7 } = {}): Promise<[string, string][]> => {
  const bytes = Buffer.from(body);
  const chunks: Buffer[] = [];
  for (let at = 0; at < bytes.length; at += cut) chunks.push(bytes.subarray(at, at + cut));
  const read = await readMultipart(Readable.from(chunks), type, 3);
  return read.map(({ name, bytes }) => [name, Buffer.from(bytes).toString("latin1")]);
};
const part = (disposition: string, content = "x"): string =>
  `--${BOUNDARY}\r\nContent-Disposition: form-data; ${disposition}\r\n\r\n${content}\r\n--${BOUNDARY}--\r\n`;

describe("a form", () => {
  it("gives its files in order, to the byte, however it is cut into pieces", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.uint8Array({ maxLength: 300 }), { minLength: 1, maxLength: 3 }),
        fc.integer({ min: 1, max: 400 }),
        async (contents, cut) => {
          const files = contents.map((content, index) => [`${index}.png`, content] as const);
          expect(await uploads(form(files).body, { cut })).toEqual(
            files.map(([name, content]) => [name, Buffer.from(content).toString("latin1")]),
          );
        },
      ),
      { numRuns: 60 },
    );
  });

  it("keeps names as clients write them, and takes the field's where a file has none", async () => {
    expect(await uploads(part('name="f"; filename="a b/ü.png"'))).toEqual([["a b/ü.png", "x"]]);
    expect(await uploads(part("name=\"f\"; filename*=UTF-8''%C3%BC.png"))).toEqual([["ü.png", "x"]]);
    const octets = part('name="f"').replace("\r\n\r\n", "\r\nContent-Type: application/octet-stream\r\n\r\n");
    expect(await uploads(octets)).toEqual([["f", "x"]]);
  });

  it.each<[string, string, string, string]>([
    ["no boundary", "multipart/form-data", "", "SERVE_MULTIPART"],
    ["another boundary", "multipart/form-data; boundary=other", part('name="f"; filename="a"'), "SERVE_MULTIPART"],
    ["no end", TYPE, part('name="f"; filename="a"').slice(0, -8), "SERVE_MULTIPART"],
    ["half a head", TYPE, part('name="f"; filename="a"').slice(0, 40), "SERVE_MULTIPART"],
    ["nothing", TYPE, "", "SERVE_MULTIPART"],
    ["noise", TYPE, "\0\u0001\r\n\r\n--".repeat(50), "SERVE_MULTIPART"],
    ["no parts", TYPE, `--${BOUNDARY}--\r\n`, "SERVE_NO_PICTURE"],
    ["a field", TYPE, part('name="samples"', "6"), "SERVE_FIELD"],
  ])("with %s is refused", async (_, type, body, code) => {
    await expect(uploads(body, { type })).rejects.toMatchObject({ code, status: 400 });
  });

  it("with too many files is refused", async () => {
    const files = ["a", "b", "c", "d"].map((name) => [name, "x"] as const);
    await expect(uploads(form(files).body)).rejects.toMatchObject({ code: "SERVE_TOO_MANY", status: 413 });
  });

  it("fails as its source does", async () => {
    const { body } = form([["a", "x".repeat(100)]]);
    async function* broken(): AsyncGenerator<Uint8Array> {
      yield Buffer.from(body).subarray(0, 120);
      throw new Error("cut");
    }
    await expect(readMultipart(broken(), TYPE, 3)).rejects.toMatchObject({ code: "SERVE_MULTIPART" });
  });
});
