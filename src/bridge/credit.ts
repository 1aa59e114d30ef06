/**
 * Credit: how many requests, and how many bytes of them, may be under way at once. Callers wait for it in order.
 *
 * Counted here rather than left to the socket, whose limits count messages and not bytes.
 *
 * @module
 */

export interface Credit {
  /** Resolves when the request may be sent. A request larger than all credit goes alone. Rejects with the signal's reason. */
  take(bytes: number, signal?: AbortSignal): Promise<void>;
  give(bytes: number): void;
}

interface Waiting {
  readonly bytes: number;
  readonly admit: () => void;
}

export function createCredit(options: { readonly requests: number; readonly bytes: number }): Credit {
  const queue: Waiting[] = [];
  let requests = 0;
  let bytes = 0;

  const fits = (more: number): boolean =>
    requests === 0 || (requests < options.requests && bytes + more <= options.bytes);
  const admitWaiting = (): void => {
    while (queue.length > 0 && fits(queue[0]!.bytes)) {
      const next = queue.shift()!;
      requests += 1;
      bytes += next.bytes;
      next.admit();
    }
  };

  return {
    take(wanted, signal) {
      if (queue.length === 0 && fits(wanted)) {
        requests += 1;
        bytes += wanted;
        return Promise.resolve();
      }
      return new Promise((resolve, reject) => {
        const withdraw = (): void => {
          queue.splice(queue.indexOf(entry), 1);
          reject(signal!.reason as Error);
          // Whoever waited behind a large request may fit now.
          admitWaiting();
        };
        const entry: Waiting = {
          bytes: wanted,
          admit: () => {
            signal?.removeEventListener("abort", withdraw);
            resolve();
          },
        };
        queue.push(entry);
        signal?.addEventListener("abort", withdraw, { once: true });
      });
    },
    give(returned) {
      requests -= 1;
      bytes -= returned;
      admitWaiting();
    },
  };
}
