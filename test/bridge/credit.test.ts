import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createCredit } from "../../src/bridge/credit.js";

const never = new AbortController().signal;
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** Asks for credit and notes in `log` when it is granted or refused. */
function ask(
  credit: ReturnType<typeof createCredit>,
  log: string[],
  name: string,
  bytes: number,
  signal = never,
): void {
  credit.take(bytes, signal).then(
    () => log.push(name),
    (reason: Error) => log.push(`${name}: ${reason.message}`),
  );
}

describe("credit", () => {
  it("is granted in order, up to its requests and its bytes", async () => {
    const credit = createCredit({ requests: 2, bytes: 100 });
    const log: string[] = [];
    for (const [name, bytes] of [
      ["a", 60],
      ["b", 60],
      ["c", 10],
    ] as const)
      ask(credit, log, name, bytes);
    await turn();
    // "c" would fit beside "a", but "b" came first.
    expect(log).toEqual(["a"]);
    credit.give(60);
    await turn();
    expect(log).toEqual(["a", "b", "c"]);
    ask(credit, log, "d", 0);
    await turn();
    expect(log).toEqual(["a", "b", "c"]);
    credit.give(10);
    await turn();
    expect(log).toEqual(["a", "b", "c", "d"]);
  });

  it("lets a request larger than all of it go alone", async () => {
    const credit = createCredit({ requests: 8, bytes: 100 });
    const log: string[] = [];
    ask(credit, log, "small", 1);
    ask(credit, log, "huge", 1000);
    ask(credit, log, "next", 1);
    await turn();
    expect(log).toEqual(["small"]);
    credit.give(1);
    await turn();
    expect(log).toEqual(["small", "huge"]);
    credit.give(1000);
    await turn();
    expect(log).toEqual(["small", "huge", "next"]);
  });

  it("passes to the next when the one in front gives up", async () => {
    const credit = createCredit({ requests: 8, bytes: 100 });
    const log: string[] = [];
    const impatient = new AbortController();
    ask(credit, log, "running", 50);
    ask(credit, log, "impatient", 80, impatient.signal);
    ask(credit, log, "small", 10);
    await turn();
    expect(log).toEqual(["running"]);
    impatient.abort(new Error("gave up"));
    await turn();
    expect(log).toEqual(["running", "impatient: gave up", "small"]);
  });

  it("is refused at once to who gave up before, and to all who wait when it closes", async () => {
    const credit = createCredit({ requests: 1, bytes: 100 });
    const log: string[] = [];
    ask(credit, log, "running", 1);
    ask(credit, log, "late", 1, AbortSignal.abort(new Error("was aborted")));
    ask(credit, log, "b", 1);
    ask(credit, log, "c", 1);
    await turn();
    credit.close(new Error("closed"));
    await turn();
    expect(log).toEqual(["running", "late: was aborted", "b: closed", "c: closed"]);
  });

  it("is never exceeded, and never withheld for good, whatever the order of things", async () => {
    const step = fc.record({ bytes: fc.nat(150), giveFirst: fc.boolean() });
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
        const credit = createCredit({ requests: 3, bytes: 100 });
        const under: number[] = [];
        let granted = 0;
        for (const { bytes, giveFirst } of steps) {
          if (giveFirst && under.length > 0) credit.give(under.shift()!);
          void credit.take(bytes, never).then(() => {
            granted += 1;
            under.push(bytes);
            expect(under.length).toBeLessThanOrEqual(3);
            if (under.length > 1) expect(under.reduce((a, b) => a + b)).toBeLessThanOrEqual(100);
          });
          await Promise.resolve();
        }
        await turn();
        while (under.length > 0) {
          credit.give(under.shift()!);
          await turn();
        }
        expect(granted).toBe(steps.length);
      }),
      { numRuns: 300 },
    );
  });
});
