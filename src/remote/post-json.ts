/**
 * One POST of JSON, with what a reward needs of it: limits on both bodies, errors that say whether another try makes sense.
 *
 * @module
 */
import { RewardError, ThurstoneError } from "../errors.js";

export interface PostJsonOptions {
  /** Named in errors, without its query. */
  readonly url: URL;
  readonly headers?: Readonly<Record<string, string>>;
  /** Anything JSON can say; numbers must be finite. */
  readonly body: unknown;
  readonly signal: AbortSignal;
  /** Bytes of the request, at most. Default 64 MiB. */
  readonly maxRequestBytes?: number;
  /** Bytes of the answer, at most; the rest is not read. Default 16 MiB. */
  readonly maxResponseBytes?: number;
}

const MEBIBYTE = 2 ** 20;
/** Of an answer that was refused, enough to see why. */
const SHOWN_CHARACTERS = 200;

/**
 * @returns the answer, parsed
 * @throws RewardError REWARD_HTTP_CONNECTION; REWARD_HTTP_STATUS for any status but 2xx; REWARD_HTTP_RESPONSE when the answer
 *   is no JSON; REWARD_HTTP_SIZE when a body is larger than allowed
 */
export async function postJson({
  url,
  headers = {},
  body,
  signal,
  maxRequestBytes = 64 * MEBIBYTE,
  maxResponseBytes = 16 * MEBIBYTE,
}: PostJsonOptions): Promise<unknown> {
  const where = `${url.origin}${url.pathname}`;
  const request = JSON.stringify(body);
  const size = Buffer.byteLength(request);
  if (size > maxRequestBytes) {
    throw new RewardError(
      "REWARD_HTTP_SIZE",
      `the request to ${where} has ${size} bytes; at most ${maxRequestBytes} are sent. Send fewer columns or smaller batches.`,
      { fields: { url: where, bytes: size } },
    );
  }
  let response: Response;
  let text: string | null;
  try {
    response = await fetch(url, {
      method: "POST",
      headers: { ...headers, "content-type": "application/json", accept: "application/json" },
      body: request,
      // What is in the headers was meant for this address only.
      redirect: "manual",
      signal,
    });
    text = await readLimited(response, maxResponseBytes);
  } catch (cause) {
    throw new RewardError("REWARD_HTTP_CONNECTION", `no answer from ${where}: ${reasonOf(cause)}.`, {
      cause,
      fields: { url: where },
    });
  }
  if (!response.ok) {
    throw new RewardError(
      "REWARD_HTTP_STATUS",
      `${where} answered with status ${response.status}: ${shown(text ?? "a body that is too large")}`,
      { fields: { url: where, status: response.status } },
    );
  }
  if (text === null) {
    throw new RewardError(
      "REWARD_HTTP_SIZE",
      `the answer of ${where} is larger than ${maxResponseBytes} bytes. Raise maxResponseBytes if that is right.`,
      { fields: { url: where } },
    );
  }
  try {
    return JSON.parse(text) as unknown;
  } catch (cause) {
    throw new RewardError("REWARD_HTTP_RESPONSE", `${where} answered with something that is no JSON: ${shown(text)}`, {
      cause,
      fields: { url: where },
    });
  }
}

/** Whether another try may help: no connection, a server in trouble (5xx), or (null) a try that took too long. Never for 4xx. */
export function isTransient(error: unknown): boolean {
  if (error === null) return true;
  if (!ThurstoneError.isInstance(error)) return false;
  if (error.code === "REWARD_HTTP_CONNECTION") return true;
  return error.code === "REWARD_HTTP_STATUS" && Number(error.fields["status"]) >= 500;
}

/** @returns null when there is more than the limit */
async function readLimited(response: Response, limit: number): Promise<string | null> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of response.body ?? []) {
    bytes += chunk.length;
    if (bytes > limit) return null;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}

/** What went wrong below `fetch`, which itself only says "fetch failed". */
function reasonOf(error: unknown): string {
  const inner = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  if (!(inner instanceof Error)) return String(inner);
  return inner.message === "" ? ((inner as NodeJS.ErrnoException).code ?? inner.name) : inner.message;
}

function shown(text: string): string {
  const line = text.replaceAll(/\s+/g, " ").trim();
  if (line === "") return "an empty body";
  return line.length > SHOWN_CHARACTERS ? `${line.slice(0, SHOWN_CHARACTERS)}...` : line;
}
