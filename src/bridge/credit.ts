/**
 * Credit: how many requests, and how many bytes of them, may be under way at once. Callers wait for it in order.
 *
 * Counted here rather than left to the socket, whose limits count messages and not bytes.
 *
 * @module
 */

export interface Credit {
  /**
   * Resolves when the request may be sent. A request larger than all credit goes alone. Rejects with the signal's
   * reason, or with the error given to `close`.
   */
  take(bytes: number, signal: AbortSignal | undefined): Promise<void>;
  /** The request was answered, or never sent. */
  give(bytes: number): void;
  /** Rejects everyone who waits. */
  close(error: Error): void;
}

interface Waiting {
  readonly bytes: number;
  readonly admit: () => void;
  readonly refuse: (reason: Error) => void;
}

/** @param options requests and bytes under way at most */
export function createCredit(options: { readonly requests: number; readonly bytes: number }): Credit {
  let queue: Waiting[] = [];
  let requests = 0;
  let bytes = 0;

  const fits = (more: number): boolean =>
    requests === 0 || (requests < options.requests && bytes + more <= options.bytes);

  function occupy(more: number): void {
    requests += 1;
    bytes += more;
  }

  function admitWaiting(): void {
    while (queue.length > 0 && fits(queue[0]!.bytes)) {
      const next = queue.shift()!;
      occupy(next.bytes);
      next.admit();
    }
  }

  return {
    take(wanted, signal) {
      if (signal?.aborted) return Promise.reject(signal.reason as Error);
      if (queue.length === 0 && fits(wanted)) {
        occupy(wanted);
        return Promise.resolve();
      }
      return new Promise((resolve, reject) => {
        const withdraw = (): void => {
          queue = queue.filter((one) => one !== entry);
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
          refuse: (reason) => {
            signal?.removeEventListener("abort", withdraw);
            reject(reason);
          },
        };
        signal?.addEventListener("abort", withdraw, { once: true });
        queue.push(entry);
      });
    },
    give(returned) {
      requests -= 1;
      bytes -= returned;
      admitWaiting();
    },
    close(error) {
      const waiting = queue;
      queue = [];
      for (const { refuse } of waiting) refuse(error);
    },
  };
}
