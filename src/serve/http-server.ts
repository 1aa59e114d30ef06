/**
 * HTTP without a word of what is served: every request gets one answer, also the slow, the broken and the refused one.
 *
 * @module
 */
import { createServer, STATUS_CODES } from "node:http";
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import { Refusal, refusalBody } from "./refusal.js";

export interface Answer {
  readonly status: number;
  readonly type: string;
  readonly body: string;
  readonly headers?: Readonly<Record<string, string>>;
}

/** A request under way. */
export interface Exchange {
  readonly request: IncomingMessage;
  /** Aborted when the client has gone. */
  readonly gone: AbortSignal;
  /** Lets a client that asked before it sends its body begin. To be called before the body is read. */
  proceed(): void;
}

export interface HttpServerOptions {
  readonly headerTimeout: number;
  readonly requestTimeout: number;
  /** @throws Refusal; anything else is answered as SERVE_FAILED */
  readonly answer: (exchange: Exchange) => Promise<Answer>;
  /** Whether connections are to end with their answer. */
  readonly closing: () => boolean;
  /** What has no Refusal. */
  readonly onFailure: (error: unknown) => void;
  /** @param request null where none could be read; @param status of the answer, or "gone" */
  readonly onEnd: (request: IncomingMessage | null, status: string, seconds: number) => void;
  /** Milliseconds from anywhere. */
  readonly now: () => number;
}

export interface HttpServer {
  readonly server: Server;
  /** Resolves when no request is under way. */
  idle(): Promise<void>;
}

/** Milliseconds between looks for requests that are late. */
const LATE_INTERVAL = 250;
/** Milliseconds for which a refused client may go on sending: cut off at once, it would not see why. */
const DISCARD_TIME = 5000;
/** Connections at a time; further ones are closed at once. */
const MAX_CONNECTIONS = 1024;

export function createHttpServer(options: HttpServerOptions): HttpServer {
  const { headerTimeout, requestTimeout, answer, closing, onFailure, onEnd, now } = options;
  const open = new Set<ServerResponse>();
  const latest = new WeakMap<Duplex, ServerResponse>();
  /** Answered past the response, on its connection. */
  const cut = new WeakMap<ServerResponse, string>();
  let whenIdle: (() => void)[] = [];

  const server = createServer({
    headersTimeout: headerTimeout,
    requestTimeout,
    connectionsCheckingInterval: LATE_INTERVAL,
    // Checked where access is, so that the answer is one of ours.
    requireHostHeader: false,
  });
  server.maxConnections = MAX_CONNECTIONS;
  server.on("request", (request, response) => begin(request, response, false));
  server.on("checkContinue", (request: IncomingMessage, response: ServerResponse) => begin(request, response, true));
  server.on("clientError", refuseConnection);

  function begin(request: IncomingMessage, response: ServerResponse, asksFirst: boolean): void {
    const began = now();
    const gone = new AbortController();
    let proceeded = !asksFirst;
    open.add(response);
    latest.set(request.socket, response);
    response.on("close", () => {
      open.delete(response);
      const status = response.writableFinished ? String(response.statusCode) : (cut.get(response) ?? "gone");
      gone.abort(new Error("the client has gone"));
      onEnd(request, status, (now() - began) / 1000);
      if (open.size > 0) return;
      for (const resolve of whenIdle) resolve();
      whenIdle = [];
    });
    const proceed = (): void => {
      if (!proceeded) response.writeContinue();
      proceeded = true;
    };
    const send = ({ status, type, body, headers }: Answer): void => {
      // A client that waits to be let in may now send its body, or not: nobody knows where its next request begins.
      if (closing() || !proceeded) response.setHeader("Connection", "close");
      response.writeHead(status, { "Content-Type": type, "Content-Length": Buffer.byteLength(body), ...headers });
      response.end(request.method === "HEAD" ? undefined : body);
      discard(request);
    };
    void answer({ request, gone: gone.signal, proceed }).then(send, (error: unknown) => {
      if (!gone.signal.aborted) send(refused(error));
    });
  }

  function refused(error: unknown): Answer {
    if (!(error instanceof Refusal)) onFailure(error);
    const refusal =
      error instanceof Refusal
        ? error
        : new Refusal("SERVE_FAILED", "this is a mistake of the service; its log has the details.");
    const { status, headers } = refusal;
    return { status, headers, type: "application/json", body: refusalBody(refusal) };
  }

  /** What cannot be read as HTTP, or does not come in time. */
  function refuseConnection(error: NodeJS.ErrnoException, socket: Duplex): void {
    const response = latest.get(socket);
    const current = response !== undefined && !(response.writableFinished && response.req.complete);
    // An answer that has begun, or is being made for a whole request, must not get another one into it.
    if (!socket.writable || (current && (response.headersSent || response.req.complete))) {
      socket.destroy();
      return;
    }
    const refusal = connectionRefusal(error.code);
    const { status } = refusal;
    if (current) cut.set(response, String(status));
    else onEnd(null, String(status), 0);
    const body = refusalBody(refusal);
    const head = [
      `HTTP/1.1 ${status} ${STATUS_CODES[status]}`,
      "Content-Type: application/json",
      `Content-Length: ${Buffer.byteLength(body)}`,
      "Connection: close",
    ];
    socket.end(`${head.join("\r\n")}\r\n\r\n${body}`, () => socket.destroy());
  }

  return {
    server,
    idle: () => (open.size === 0 ? Promise.resolve() : new Promise((resolve) => whenIdle.push(resolve))),
  };
}

/** Reads on what is left of a request that has its answer. */
function discard(request: IncomingMessage): void {
  if (request.complete) return;
  request.resume();
  const timer = setTimeout(() => request.socket.destroy(), DISCARD_TIME);
  request.once("close", () => clearTimeout(timer));
}

function connectionRefusal(code: string | undefined): Refusal {
  if (code === "ERR_HTTP_REQUEST_TIMEOUT") return new Refusal("SERVE_SLOW", "the request did not come in time.");
  if (code === "HPE_HEADER_OVERFLOW") return new Refusal("SERVE_HEADERS", "the headers are too long.");
  return new Refusal("SERVE_REQUEST", "this is no HTTP request.");
}
