/**
 * Bytes that all requests hold together.
 *
 * @module
 */
import { Refusal } from "./refusal.js";

/** What one request holds. */
export interface Hold {
  /**
   * Holds so many bytes in all; fewer than before changes nothing.
   *
   * @throws Refusal SERVE_BUSY when all requests together would hold too many; this one then holds what it held
   */
  raise(bytes: number): void;
  release(): void;
}

export interface Budget {
  hold(): Hold;
  /** Held now. */
  readonly bytes: number;
}

export function createBudget(limit: number): Budget {
  let bytes = 0;
  return {
    get bytes() {
      return bytes;
    },
    hold() {
      let own = 0;
      return {
        raise(wanted) {
          const more = Math.max(0, wanted - own);
          if (bytes + more > limit) {
            throw new Refusal("SERVE_BUSY", "the requests under way hold as many bytes as allowed. Ask again later.", {
              "Retry-After": "1",
            });
          }
          own += more;
          bytes += more;
        },
        release() {
          bytes -= own;
          own = 0;
        },
      };
    },
  };
}
