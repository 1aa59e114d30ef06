import { setImmediate as turn } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { createScheduler } from "../../src/serve/scheduler.js";
import type { Scheduler, SchedulerOptions } from "../../src/serve/scheduler.js";
import type { MetricInput, Rating, ScoreOptions } from "../../src/trainer/index.js";

interface Asked {
  readonly pictures: string;
  readonly start: number | undefined;
  readonly signal: AbortSignal;
  readonly go: () => void;
  readonly fail: (error: Error) => void;
}

/** A model that rates when it is told to: each picture with its one byte. */
function createModel(): { readonly asked: Asked[]; readonly score: SchedulerOptions["score"] } {
  const asked: Asked[] = [];
  async function* score(inputs: Iterable<MetricInput> | AsyncIterable<MetricInput>, options: ScoreOptions = {}) {
    const pictures = [...(inputs as Uint8Array[])];
    const signal = options.signal!;
    expect(options.batch).toBe(pictures.length);
    await new Promise<void>((go, fail) => {
      asked.push({ pictures: pictures.map(letter).join(""), start: options.start, signal, go, fail });
      signal.addEventListener("abort", () => fail(signal.reason as Error));
    });
    for (const picture of pictures) {
      yield { id: letter(picture), score: picture[0]!, std: null, scores: [], status: "ok" } satisfies Rating;
    }
  }
  return { asked, score };
}
const letter = (picture: Uint8Array): string => String.fromCharCode(picture[0]!);
const pictures = (letters: string): Uint8Array[] => Array.from(letters, (one) => Uint8Array.of(one.charCodeAt(0)));

interface Scene {
  readonly scheduler: Scheduler;
  readonly asked: Asked[];
  readonly failures: unknown[];
  time: number;
  /** Letters of the ratings, or the error. */
  rate(letters: string, signal?: AbortSignal): Promise<string>;
}

function scene(options: Partial<SchedulerOptions> = {}): Scene {
  const { asked, score } = createModel();
  const failures: unknown[] = [];
  const explain = (error: unknown): Error => {
    failures.push(error);
    return new Error("explained");
  };
  const whole: Scene = {
    scheduler: createScheduler({
      batch: 3,
      mixed: true,
      maxWaiting: 6,
      score,
      explain,
      now: () => whole.time,
      ...options,
    }),
    asked,
    failures,
    time: 0,
    rate: (letters, signal = new AbortController().signal) =>
      whole.scheduler.rate(pictures(letters), signal).then(
        (ratings) => ratings.map(({ id }) => id).join(""),
        (error: Error) => `${error.name}: ${error.message}`,
      ),
  };
  return whole;
}

describe("a scheduler", () => {
  it("asks at once for what there is, and in full batches for what came meanwhile, in order", async () => {
    const { rate, asked, scheduler } = scene();
    const answers = [rate("a"), rate("b"), rate("cd"), rate("e"), rate("f")];
    expect(asked.map((one) => one.pictures)).toEqual(["a", "b"]);
    expect([scheduler.waiting, scheduler.running]).toEqual([4, 2]);
    asked[0]!.go();
    await turn();
    expect(asked.map((one) => one.pictures)).toEqual(["a", "b", "cde"]);
    asked[1]!.go();
    asked[2]!.go();
    await turn();
    expect(asked.map((one) => one.pictures)).toEqual(["a", "b", "cde", "f"]);
    asked[3]!.go();
    expect(await Promise.all(answers)).toEqual(["a", "b", "cd", "e", "f"]);
    expect([scheduler.waiting, scheduler.running]).toEqual([0, 0]);
  });

  it("puts a request together again whose pictures went with several batches", async () => {
    const { rate, asked } = scene();
    const [large, small] = [rate("abcde"), rate("f")];
    expect(asked.map((one) => one.pictures)).toEqual(["abc", "de"]);
    asked[1]!.go();
    await turn();
    // The second batch is done; the third may only begin when the first is.
    expect(asked).toHaveLength(2);
    asked[0]!.go();
    expect(await large).toBe("abcde");
    asked[2]!.go();
    expect(await small).toBe("f");
  });

  it("keeps requests apart where a picture's place names its draws, and says the place", async () => {
    const { rate, asked } = scene({ mixed: false });
    const answers = [rate("a"), rate("bcde"), rate("f")];
    for (let batch = 0; batch < 4; batch += 1) {
      asked[batch]!.go();
      await turn();
    }
    expect(asked.map((one) => [one.pictures, one.start])).toEqual([
      ["a", 0],
      ["bcd", 0],
      ["e", 3],
      ["f", 0],
    ]);
    expect(await Promise.all(answers)).toEqual(["a", "bcde", "f"]);
  });

  it("refuses what may not wait, says for how long, and keeps what waits", async () => {
    const whole = scene();
    const { rate, asked, scheduler } = whole;
    const first = rate("a");
    whole.time = 4000;
    asked[0]!.go();
    expect(await first).toBe("a");
    const answers = [rate("b"), rate("c"), rate("defgh")];
    expect(scheduler.waiting).toBe(5);
    // 7 pictures at 4 s each.
    await expect(scheduler.rate(pictures("ij"), new AbortController().signal)).rejects.toMatchObject({
      code: "SERVE_BUSY",
      status: 503,
      headers: { "Retry-After": "28" },
    });
    answers.push(rate("k"));
    for (let batch = 1; batch < 5; batch += 1) {
      asked[batch]!.go();
      await turn();
    }
    expect(await Promise.all(answers)).toEqual(["b", "c", "defgh", "k"]);
  });

  it("takes a client that leaves out of what waits, and harms no other", async () => {
    const { rate, asked, scheduler } = scene();
    const left = new AbortController();
    const answers = [rate("a"), rate("b"), rate("cd", left.signal), rate("e")];
    left.abort(new Error("gone"));
    expect(await answers[2]).toBe("Error: gone");
    expect(scheduler.waiting).toBe(1);
    asked[0]!.go();
    await turn();
    expect(asked.map((one) => one.pictures)).toEqual(["a", "b", "e"]);
    for (const { go } of asked) go();
    expect(await Promise.all(answers)).toEqual(["a", "b", "Error: gone", "e"]);
  });

  it("ends a batch when all who asked for it have left, and only then", async () => {
    const { rate, asked, failures } = scene();
    const [one, other] = [new AbortController(), new AbortController()];
    const answers = [rate("x"), rate("y"), rate("a", one.signal), rate("b", other.signal), rate("c")];
    asked[0]!.go();
    asked[1]!.go();
    await turn();
    const shared = asked[2]!;
    expect(shared.pictures).toBe("abc");
    one.abort(new Error("gone"));
    other.abort(new Error("gone"));
    expect(shared.signal.aborted).toBe(false);
    shared.go();
    expect(await Promise.all(answers)).toEqual(["x", "y", "Error: gone", "Error: gone", "c"]);

    const only = new AbortController();
    const answer = rate("d", only.signal);
    only.abort(new Error("gone"));
    expect(asked[3]!.signal.aborted).toBe(true);
    expect(await answer).toBe("Error: gone");
    expect(failures).toEqual([]);
    const next = rate("e");
    await turn();
    asked[4]!.go();
    expect(await next).toBe("e");
  });

  it("fails the request whose batch fails, and goes on with the others", async () => {
    const { rate, asked, failures } = scene();
    const answers = [rate("abcde"), rate("f")];
    const error = new Error("out of memory");
    asked[0]!.fail(error);
    await turn();
    asked[1]!.go();
    await turn();
    asked[2]!.go();
    expect(await Promise.all(answers)).toEqual(["Error: explained", "f"]);
    expect(failures).toEqual([error]);
  });

  it("asks once more for each request by itself where several were in a batch that failed", async () => {
    const { rate, asked, failures } = scene();
    const answers = [rate("x"), rate("y"), rate("ab"), rate("c"), rate("d")];
    asked[0]!.go();
    asked[1]!.go();
    await turn();
    const [first, second] = [new Error("too large"), new Error("still too large")];
    asked[2]!.fail(first);
    await turn();
    // "d" had begun behind the batch that failed.
    expect(asked.slice(2).map((one) => one.pictures)).toEqual(["abc", "d", "ab"]);
    asked[3]!.go();
    asked[4]!.fail(second);
    await turn();
    expect(asked.slice(5).map((one) => one.pictures)).toEqual(["c"]);
    asked[5]!.go();
    expect(await Promise.all(answers)).toEqual(["x", "y", "Error: explained", "c", "d"]);
    expect(failures).toEqual([first, second]);
  });

  it("ends everything when it is stopped, and takes nothing more", async () => {
    const { rate, asked, scheduler, failures } = scene();
    const answers = [rate("a"), rate("bcde"), rate("f")];
    scheduler.stop(new Error("stopped"));
    expect(await Promise.all([...answers, rate("g")])).toEqual(Array.from({ length: 4 }, () => "Error: stopped"));
    await turn();
    expect(asked.every(({ signal }) => signal.aborted)).toBe(true);
    expect([scheduler.waiting, scheduler.running]).toEqual([0, 0]);
    expect(failures).toEqual([]);
  });

  it("has nothing to do for a request without a picture that is there", async () => {
    expect(await scene().rate("")).toBe("");
  });
});
