/**
 * What clients of a scoring service do, decent ones and others, and what each must get for it.
 *
 * @module
 */
import { Agent, request } from "node:http";
import { connect } from "node:net";

/** What came of one request: a status, or "left" for a client that did not wait. */
export type Outcome = number | "left";

export interface Traffic {
  readonly url: string;
  readonly port: number;
  /** A file that the service may read by this name, and pictures, each with the answer that it got before there was a crowd. */
  readonly known: readonly KnownPicture[];
  /** Uncompressed, so that a few other bytes make another picture. */
  readonly photo: Uint8Array;
  /** More than the service takes. */
  readonly tooLarge: Uint8Array;
}

export interface KnownPicture {
  readonly name: string;
  readonly bytes: Uint8Array;
  /** The record, as text. */
  readonly record: string;
}

/** One way to ask. Throws what is wrong with the answer, which then counts as lost. */
export interface Kind {
  readonly name: string;
  /** Of 100 requests. */
  readonly share: number;
  /** Whether a full service may send it away; it then comes again. */
  readonly mayWait: boolean;
  readonly ask: (traffic: Traffic, client: Client) => Promise<Outcome>;
}

export interface Client {
  readonly agent: Agent;
  /** Uniform on [0, 1). */
  readonly draw: () => number;
  /** Another number at every call, of all clients. */
  readonly next: () => number;
}

interface Said {
  readonly status: number;
  readonly text: string;
}

const BOUNDARY = "----thurstone-bench";
const FORM = { "content-type": `multipart/form-data; boundary=${BOUNDARY}` };
const JSON_TYPE = { "content-type": "application/json" };

export const KINDS: readonly Kind[] = [
  { name: "a new picture", share: 50, mayWait: true, ask: newPicture },
  { name: "a known picture", share: 10, mayWait: true, ask: knownPicture },
  { name: "three, one broken", share: 8, mayWait: true, ask: threePictures },
  { name: "a path", share: 8, mayWait: true, ask: knownPath },
  { name: "leaves before the answer", share: 5, mayWait: false, ask: leave },
  { name: "body said too large", share: 3, mayWait: false, ask: saidTooLarge },
  { name: "body too large", share: 3, mayWait: false, ask: tooLarge },
  { name: "form without its end", share: 3, mayWait: true, ask: malformedForm },
  { name: "no HTTP", share: 3, mayWait: false, ask: noHttp },
  { name: "not a form", share: 3, mayWait: false, ask: wrongType },
  { name: "path outside", share: 2, mayWait: true, ask: pathOutside },
  { name: "headers too slow", share: 1, mayWait: false, ask: slowHeaders },
  { name: "body too slow", share: 1, mayWait: true, ask: slowBody },
];

/** A request with its whole answer. */
export function say(
  url: string,
  { method = "POST", headers = {}, body = "", agent, signal }: Saying = {},
): Promise<Said> {
  return new Promise((resolve, reject) => {
    const sent = request(url, { method, headers, ...(agent && { agent }), ...(signal && { signal }) }, (answer) => {
      const chunks: Buffer[] = [];
      answer.on("data", (chunk: Buffer) => chunks.push(chunk));
      answer.on("error", reject);
      answer.on("end", () => resolve({ status: answer.statusCode!, text: Buffer.concat(chunks).toString() }));
    });
    sent.on("error", reject);
    sent.end(body);
  });
}

interface Saying {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array;
  readonly agent?: Agent;
  readonly signal?: AbortSignal;
}

/** A form with pictures by name. */
export function form(
  pictures: readonly (readonly [string, Uint8Array | string])[],
): Required<Pick<Saying, "headers" | "body">> {
  const parts = pictures.flatMap(([name, bytes]) => [
    Buffer.from(`--${BOUNDARY}\r\nContent-Disposition: form-data; name="image"; filename="${name}"\r\n\r\n`),
    Buffer.from(bytes),
    Buffer.from("\r\n"),
  ]);
  return { headers: FORM, body: Buffer.concat([...parts, Buffer.from(`--${BOUNDARY}--\r\n`)]) };
}

/** Records of an answer, each as text. @throws Error for another number of them */
export function recordsOf({ text }: Said, count: number): string[] {
  const { ratings } = JSON.parse(text) as { ratings: unknown[] };
  if (ratings.length !== count) throw new Error(`${ratings.length} records for ${count} pictures`);
  return ratings.map((one) => JSON.stringify(one));
}

/** The photograph with another number in its middle: a picture that nobody has seen. */
export function another(photo: Uint8Array, number: number): Uint8Array {
  const bytes = Buffer.from(photo);
  bytes.writeUInt32LE(number, Math.floor(bytes.length / 2));
  return bytes;
}

async function newPicture({ url, photo }: Traffic, { agent, next }: Client): Promise<Outcome> {
  const said = await say(url, { agent, ...form([["new.tif", another(photo, next())]]) });
  if (said.status === 200) checkScore(recordsOf(said, 1)[0]!);
  return expected(said, 200);
}

async function knownPicture({ url, known }: Traffic, { agent, draw }: Client): Promise<Outcome> {
  const picture = pick(known, draw());
  const said = await say(url, { agent, ...form([[picture.name, picture.bytes]]) });
  if (said.status === 200) checkSame(recordsOf(said, 1)[0]!, picture);
  return expected(said, 200);
}

async function threePictures({ url, photo, known }: Traffic, { agent, draw, next }: Client): Promise<Outcome> {
  const picture = pick(known, draw());
  const files = [
    ["new.tif", another(photo, next())],
    ["broken.jpg", picture.bytes.subarray(0, picture.bytes.length / 2)],
    [picture.name, picture.bytes],
  ] as const;
  const said = await say(url, { agent, ...form(files) });
  if (said.status === 200) {
    const [first, broken, last] = recordsOf(said, 3);
    checkScore(first!);
    if ((JSON.parse(broken!) as { code?: string }).code !== "DATA_IMAGE_BROKEN") throw new Error(broken);
    checkSame(last!, picture);
  }
  return expected(said, 200);
}

async function knownPath({ url, known }: Traffic, { agent, draw }: Client): Promise<Outcome> {
  const picture = pick(known, draw());
  const said = await say(url, { agent, headers: JSON_TYPE, body: JSON.stringify({ path: picture.name }) });
  if (said.status === 200) checkSame(recordsOf(said, 1)[0]!, picture);
  return expected(said, 200);
}

async function leave({ url, photo }: Traffic, { draw, next }: Client): Promise<Outcome> {
  const signal = AbortSignal.timeout(Math.floor(300 * draw()));
  const { status } = await say(url, { signal, ...form([["new.tif", another(photo, next())]]) }).catch(
    (error: Error) => {
      if (error.name === "AbortError" || error.name === "TimeoutError") return { status: 0 };
      throw error;
    },
  );
  return status === 0 ? "left" : status;
}

async function saidTooLarge({ url, tooLarge: bytes }: Traffic, { agent }: Client): Promise<Outcome> {
  return expected(await say(url, { agent, ...form([["large.tif", bytes]]) }), 413);
}

async function tooLarge({ url, tooLarge: bytes }: Traffic, { agent }: Client): Promise<Outcome> {
  const { headers, body } = form([["large.tif", bytes]]);
  return expected(await say(url, { agent, headers: { ...headers, "transfer-encoding": "chunked" }, body }), 413);
}

async function malformedForm({ url, photo }: Traffic, { agent }: Client): Promise<Outcome> {
  const { headers, body } = form([["cut.tif", photo]]);
  return expected(await say(url, { agent, headers, body: body.slice(0, -30) }), 400);
}

async function wrongType({ url, photo }: Traffic, { agent }: Client): Promise<Outcome> {
  return expected(await say(url, { agent, headers: { "content-type": "image/tiff" }, body: photo }), 415);
}

async function pathOutside({ url }: Traffic, { agent }: Client): Promise<Outcome> {
  return expected(await say(url, { agent, headers: JSON_TYPE, body: '{"path": "../../etc/passwd"}' }), 403);
}

async function noHttp({ port }: Traffic): Promise<Outcome> {
  return expected(await talk(port, ["GIVE ME\r\n\r\n"], 0), 400);
}

/** A byte every 100 ms: never silent, never done. */
async function slowHeaders({ port }: Traffic): Promise<Outcome> {
  return expected(
    await talk(port, Array.from("POST /v1/score HTTP/1.1\r\nHost: localhost\r\nX: ".padEnd(999, "x")), 100),
    408,
  );
}

async function slowBody({ port }: Traffic): Promise<Outcome> {
  const head = `POST /v1/score HTTP/1.1\r\nHost: localhost\r\nContent-Type: ${FORM["content-type"]}\r\nContent-Length: 999\r\n\r\n`;
  return expected(await talk(port, [head, ...Array.from("-".repeat(999))], 100), 408);
}

/** Says pieces over a connection of its own, so many milliseconds apart, until the other side closes it. */
function talk(port: number, pieces: readonly string[], pause: number): Promise<Said> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let said = 0;
    const more = (): void => {
      socket.write(pieces[said]!);
      said += 1;
      if (said === pieces.length) clearInterval(timer);
    };
    const socket = connect(port, "127.0.0.1", more);
    const timer = setInterval(() => said > 0 && said < pieces.length && more(), pause);
    // A service that answers first may close before the rest is sent; what counts is whether its answer came.
    socket.on("error", (error: NodeJS.ErrnoException) => chunks.length === 0 && reject(error));
    socket.on("data", (chunk: Buffer) => chunks.push(chunk));
    socket.on("close", () => {
      clearInterval(timer);
      const text = Buffer.concat(chunks).toString();
      const status = Number(/^HTTP\/1\.1 (\d+)/.exec(text)?.[1] ?? 0);
      resolve({ status, text: text.slice(text.indexOf("\r\n\r\n") + 4) });
    });
  });
}

/** @throws Error for another status than this or 503, and for an error that is none of the service's */
function expected({ status, text }: Said, wanted: number): number {
  if (status !== wanted && status !== 503) throw new Error(`status ${status} instead of ${wanted}: ${text}`);
  if (status !== 200 && !/^\{"error":\{"code":"SERVE_[A-Z_]+","message":".*"\}\}\n$/.test(text)) throw new Error(text);
  return status;
}

function checkScore(record: string): void {
  const { score } = JSON.parse(record) as { score: number | null };
  if (score === null || score < 1 || score > 5) throw new Error(record);
}

function checkSame(record: string, picture: KnownPicture): void {
  if (record !== picture.record) throw new Error(`${record} instead of ${picture.record}`);
}

function pick<T>(list: readonly T[], draw: number): T {
  return list[Math.floor(draw * list.length)]!;
}
