/**
 * An HTTP server for tests, on a free port of this machine.
 *
 * @module
 */
import { createServer } from "node:http";
import type { IncomingHttpHeaders, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

export interface ReceivedRequest {
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: unknown;
}

export interface TestServer extends AsyncDisposable {
  /** "http://127.0.0.1:PORT" */
  readonly origin: string;
  /** Every request so far, in order. */
  readonly requests: readonly ReceivedRequest[];
}

/** What is done with the nth request, from 1. */
export type Answer = (request: ReceivedRequest, response: ServerResponse, count: number) => void | Promise<void>;

/** Answers until it is disposed; connections that are still open are then cut. */
export async function startServer(answer: Answer): Promise<TestServer> {
  const requests: ReceivedRequest[] = [];
  const server = createServer((incoming, response) => {
    const chunks: Buffer[] = [];
    incoming.on("data", (chunk: Buffer) => chunks.push(chunk));
    incoming.on("end", () => {
      const body = JSON.parse(Buffer.concat(chunks).toString("utf8")) as unknown;
      const request = { path: incoming.url!, headers: incoming.headers, body };
      requests.push(request);
      void answer(request, response, requests.length);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** Answers with JSON. */
export function sendJson(response: ServerResponse, body: unknown, status = 200): void {
  response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
}
