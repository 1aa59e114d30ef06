/**
 * A client that says over a real socket whatever a test wants said.
 *
 * @module
 */
import { request } from "node:http";
import { connect } from "node:net";

export interface Said {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly text: string;
}

export interface Asked {
  readonly url: string;
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array;
  readonly signal?: AbortSignal;
}

/** One request, and the whole answer. */
export function ask({ url, method = "GET", headers = {}, body, signal }: Asked): Promise<Said> {
  return new Promise((resolve, reject) => {
    const sent = request(url, { method, headers, ...(signal && { signal }) }, (answer) => {
      const chunks: Buffer[] = [];
      answer.on("data", (chunk: Buffer) => chunks.push(chunk));
      answer.on("error", reject);
      answer.on("end", () =>
        resolve({ status: answer.statusCode!, headers: answer.headers, text: Buffer.concat(chunks).toString() }),
      );
    });
    sent.on("error", reject);
    sent.end(body);
  });
}

/** Bytes as they are; what came back until the other side closed. */
export function talk(port: number, ...said: readonly (string | Uint8Array)[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    const socket = connect(port, "127.0.0.1", () => said.forEach((bytes) => socket.write(bytes)));
    socket.on("data", (chunk: Buffer) => chunks.push(chunk));
    socket.on("error", reject);
    socket.on("close", () => resolve(Buffer.concat(chunks).toString()));
  });
}

export const BOUNDARY = "----thurstone";

/** A form with a file per entry: name and content. */
export function form(
  files: readonly (readonly [string, string | Uint8Array])[],
): Pick<Required<Asked>, "method" | "headers" | "body"> {
  const parts = files.flatMap(([name, content]) => [
    Buffer.from(
      `--${BOUNDARY}\r\nContent-Disposition: form-data; name="image"; filename="${name}"\r\nContent-Type: image/png\r\n\r\n`,
    ),
    Buffer.from(content),
    Buffer.from("\r\n"),
  ]);
  return {
    method: "POST",
    headers: { "content-type": `multipart/form-data; boundary=${BOUNDARY}` },
    body: Buffer.concat([...parts, Buffer.from(`--${BOUNDARY}--\r\n`)]),
  };
}

export function paths(body: unknown): Pick<Required<Asked>, "method" | "headers" | "body"> {
  return { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) };
}

/** The code of an answer that is an error, after checking that it has nothing but code and message. */
export function codeOf(text: string): string {
  const { error, ...rest } = JSON.parse(text) as { error: Record<string, unknown> };
  const { code, message, ...more } = error;
  if (typeof code !== "string" || typeof message !== "string" || Object.keys({ ...rest, ...more }).length > 0) {
    throw new Error(`no error as the service writes it: ${text}`);
  }
  return code;
}
