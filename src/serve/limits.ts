/**
 * What one client, and all of them together, may ask for.
 *
 * @module
 */
import { ConfigError } from "../errors.js";

export interface ServeLimits {
  /** Pictures that go to the model together. */
  readonly batch: number;
  /** Bytes of a request's body, and of a file that a request names. */
  readonly maxBodyBytes: number;
  /** Pictures of one request. */
  readonly maxPictures: number;
  /** Pictures of all requests that wait for the model. */
  readonly maxWaiting: number;
  /** Bytes of pictures, in files, that all requests hold together. */
  readonly maxHeldBytes: number;
  /** Milliseconds until a request's headers must be there. */
  readonly headerTimeout: number;
  /** Milliseconds until all of a request must be there. */
  readonly requestTimeout: number;
}

const MEBIBYTE = 2 ** 20;

export const DEFAULT_LIMITS: ServeLimits = {
  batch: 8,
  maxBodyBytes: 32 * MEBIBYTE,
  maxPictures: 32,
  maxWaiting: 256,
  maxHeldBytes: 512 * MEBIBYTE,
  headerTimeout: 10_000,
  requestTimeout: 60_000,
};

/** @throws ConfigError SERVE_LIMITS for limits under which a request that is allowed could never be answered */
export function checkLimits({
  maxBodyBytes,
  maxPictures,
  maxWaiting,
  maxHeldBytes,
  ...times
}: Omit<ServeLimits, "batch">): void {
  if (maxPictures > maxWaiting) {
    throw wrong(`a request may have ${maxPictures} pictures, and only ${maxWaiting} may wait. Let more wait.`);
  }
  if (maxBodyBytes > maxHeldBytes) {
    throw wrong(`a request may have ${maxBodyBytes} bytes, and all together only ${maxHeldBytes}. Let more be held.`);
  }
  if (times.headerTimeout > times.requestTimeout) {
    throw wrong(
      `headers may take ${times.headerTimeout} ms, and the whole request only ${times.requestTimeout}. Give it more.`,
    );
  }
}

function wrong(message: string): ConfigError {
  return new ConfigError("SERVE_LIMITS", message);
}
