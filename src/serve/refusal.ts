/**
 * What the service says no with: a status for the client's library, a code for its program, a message for its author.
 *
 * @module
 */
import { ThurstoneError } from "../errors.js";

/** Every code that an answer of the service may have, with its HTTP status. */
export const REFUSAL_STATUS = {
  SERVE_REQUEST: 400,
  SERVE_MULTIPART: 400,
  SERVE_FIELD: 400,
  SERVE_JSON: 400,
  SERVE_NO_PICTURE: 400,
  SERVE_TOKEN: 401,
  SERVE_HOST: 403,
  SERVE_NO_ROOT: 403,
  SERVE_OUTSIDE: 403,
  SERVE_NOT_FOUND: 404,
  SERVE_METHOD: 405,
  SERVE_SLOW: 408,
  SERVE_TOO_LARGE: 413,
  SERVE_TOO_MANY: 413,
  SERVE_TYPE: 415,
  SERVE_HEADERS: 431,
  SERVE_FAILED: 500,
  SERVE_BUSY: 503,
  SERVE_LOADING: 503,
  SERVE_STOPPING: 503,
} as const;

export type RefusalCode = keyof typeof REFUSAL_STATUS;

/** Thrown anywhere while a request is worked on; its answer. */
export class Refusal extends ThurstoneError {
  override readonly name = "Refusal";
  readonly status: number;
  /** Sent along: Allow, Retry-After, WWW-Authenticate. */
  readonly headers: Readonly<Record<string, string>>;

  constructor(code: RefusalCode, message: string, headers: Readonly<Record<string, string>> = {}) {
    super(code, message);
    this.status = REFUSAL_STATUS[code];
    this.headers = headers;
  }
}

/** The body of every answer that is no result. */
export function refusalBody({ code, message }: Pick<Refusal, "code" | "message">): string {
  return `${JSON.stringify({ error: { code, message } })}\n`;
}
