import { connect } from "node:net";
import { tmpdir } from "node:os";
import { describe, expect, it } from "vitest";
import { codeOf, form, talk } from "./client.js";
import { PICTURE, serve } from "./serving.js";

describe("a connection", () => {
  const limits = { headerTimeout: 100, requestTimeout: 300 };
  const begin = "POST /v1/score HTTP/1.1\r\nHost: localhost\r\n";
  const bodyOf = (said: string): string => said.slice(said.lastIndexOf("\r\n\r\n") + 4);

  it.each([
    ["no headers", ""],
    ["half of its headers", begin],
    ["no body", `${begin}Content-Type: multipart/form-data; boundary=x\r\nContent-Length: 100\r\n\r\n`],
    ["half of its body", `${begin}Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{"path"`],
  ])("that sends %s in time gets 408", async (_, said) => {
    const { port, say } = await serve({ limits, root: tmpdir() });
    const answer = await talk(port, said);
    expect(answer).toMatch(/^HTTP\/1\.1 408 Request Timeout\r\n/);
    expect(answer.match(/HTTP\/1\.1/g)).toHaveLength(1);
    expect(codeOf(bodyOf(answer))).toBe("SERVE_SLOW");
    const { text } = await say("/metrics");
    const counted = text.split("\n").filter((line) => /^thurstone_requests_total.*status="408"/.test(line));
    expect(counted.map((line) => line.split(" ").at(-1))).toEqual(["1"]);
    expect(text).not.toContain('status="gone"');
  });

  it("that was refused and goes on sending is cut, with one answer", async () => {
    const { port } = await serve({ limits });
    const answer = await talk(port, `${begin}Content-Type: image/png\r\nContent-Length: 100\r\n\r\nhalf`);
    expect(answer.match(/HTTP\/1\.1 \d+/g)).toEqual(["HTTP/1.1 415"]);
  });

  it.each([
    ["no HTTP", "hello\r\n\r\n", 400, "SERVE_REQUEST"],
    ["two lengths", `${begin}Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`, 400, "SERVE_REQUEST"],
    ["long headers", `${begin}X: ${"x".repeat(20_000)}\r\n\r\n`, 431, "SERVE_HEADERS"],
    ["no host", "GET /v1/model HTTP/1.1\r\nConnection: close\r\n\r\n", 403, "SERVE_HOST"],
  ])("with %s is answered", async (_, said, status, code) => {
    const { port } = await serve();
    const answer = await talk(port, said);
    expect(answer).toContain(`HTTP/1.1 ${status} `);
    expect(codeOf(bodyOf(answer))).toBe(code);
  });

  it("that asks first is let in or refused before it sends its body", async () => {
    const { port } = await serve({ limits: { maxBodyBytes: 1000 } });
    const head = (length: number): string =>
      `${begin}Content-Type: ${form([]).headers["content-type"]}\r\nContent-Length: ${length}\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n`;
    const refused = await talk(port, head(1001));
    expect(refused.match(/HTTP\/1\.1 \d+/g)).toEqual(["HTTP/1.1 413"]);
    const { body } = form([["a.png", PICTURE]]);
    const let_in = await new Promise<string>((done, fail) => {
      let said = "";
      const socket = connect(port, "127.0.0.1", () => socket.write(head(body.length)));
      socket.setEncoding("utf8").on("data", (text: string) => {
        if (said === "") socket.write(body);
        said += text;
      });
      socket.on("error", fail).on("close", () => done(said));
    });
    expect(let_in.match(/HTTP\/1\.1 \d+/g)).toEqual(["HTTP/1.1 100", "HTTP/1.1 200"]);
  });
});
