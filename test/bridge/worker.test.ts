/** One living worker, which floods its log with garbage from the start: none of the tests may notice. */
import { Dealer } from "zeromq";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { bytesOf, encodeMessage, tensor } from "../../src/bridge/index.js";
import type { DType, TensorData, WorkerProcess } from "../../src/bridge/index.js";
import { WorkerError } from "../../src/errors.js";
import { leastMemoryOf, leastOwnMemory } from "./memory.js";
import { eventually, isAlive, ownTemporaryFolder, selftestAfter, startSelftest } from "./selftest-worker.js";

const FLOOD = `
import os, sys, threading, time
def flood():
    garbage = os.urandom(1 << 16)
    while True:
        for descriptor in (1, 2):
            os.write(descriptor, garbage)
        time.sleep(0.05)
for descriptor in (1, 2):
    os.write(descriptor, b"x" * (4 << 20))
threading.Thread(target=flood, daemon=True).start()
`;
const MEBIBYTE = 2 ** 20;

const temporary = ownTemporaryFolder();
let worker: WorkerProcess;
let logged = 0;

beforeAll(async () => {
  worker = await startSelftest({
    args: selftestAfter(FLOOD),
    heartbeatInterval: 100,
    onStderr: (line) => (logged += line.length),
  });
});

afterAll(async () => {
  await worker.stop();
  expect(isAlive(worker.pid)).toBe(false);
  expect(temporary.workerFolders()).toEqual([]);
  temporary.remove();
});

describe("a worker", () => {
  it("says who it is", () => {
    expect(worker.hello).toMatchObject({ role: "data", rank: 0, pid: worker.pid, protocol: [1, 0] });
    expect(worker.hello.methods).toMatchObject({ echo: "pure", count: "stateful" });
  });

  const values: Record<DType, TensorData> = {
    bool: Uint8Array.of(0, 1, 1, 0),
    u8: Uint8Array.of(0, 1, 128, 255),
    i8: Int8Array.of(-128, -1, 0, 127),
    i16: Int16Array.of(-32768, -1, 0, 32767),
    i32: Int32Array.of(-(2 ** 31), -1, 0, 2 ** 31 - 1),
    i64: BigInt64Array.of(-(2n ** 63n), -1n, 0n, 2n ** 63n - 1n),
    f16: Uint16Array.of(0x3c00, 0x7e00, 0x8000, 0x0001),
    bf16: Uint16Array.of(0x3f80, 0x7fc0, 0x8000, 0x0001),
    f32: Float32Array.of(1.5, Number.NaN, -0, Number.NEGATIVE_INFINITY),
    f64: Float64Array.of(0.1, Number.NaN, -0, 5e-324),
  };

  it("gives back tensors of every element type, rank and size, at any alignment", async () => {
    const tensors = Object.fromEntries(
      Object.entries(values).flatMap(([name, data]) => {
        const dtype = name as DType;
        return [
          [`${name}`, tensor(dtype, [2, 2], data)],
          [`${name}-rank-8`, tensor(dtype, [1, 1, 2, 1, 1, 2, 1, 1], data)],
          [`${name}-scalar`, tensor(dtype, [], data.slice(0, 1))],
          [`${name}-empty`, tensor(dtype, [0], data.slice(0, 0))],
          [`${name}-empty-inside`, tensor(dtype, [3, 0, 2], data.slice(0, 0))],
          [`${name}-of-three`, tensor(dtype, [3], data.subarray(1))],
        ];
      }),
    );
    const reply = await worker.caller.call("echo", {}, { tensors });
    expect(reply.tensors).toEqual(tensors);
  });

  it("gives back plain values of every kind", async () => {
    const params = {
      null: null,
      flags: [true, false],
      numbers: [0, -1, 127, 128, 2 ** 31, 2 ** 32, 2 ** 53 - 1, -(2 ** 53) + 1, 0.1, 5e-324, 1e308],
      unbounded: [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY],
      text: "Gr\u00fc\u00dfe \u4e16\u754c \u{1f600} \u0000",
      nested: { "": [{}, [], [[1]]], "\u00e9": "long ".repeat(10_000) },
    };
    expect((await worker.caller.call("echo", params)).result).toEqual(params);
  });

  it("answers 10,000 calls with 64 in flight, each with its own answer", async () => {
    let next = 0;
    let right = 0;
    const line = async (): Promise<void> => {
      for (let n = next++; n < 10_000; n = next++) {
        const { result } = await worker.caller.call(n % 2 === 0 ? "echo" : "noop_fast", { n });
        if (n % 2 === 1 || result["n"] === n) right += 1;
      }
    };
    await Promise.all(Array.from({ length: 64 }, line));
    expect(right).toBe(10_000);
    expect(worker.statistics()).toMatchObject({ pending: 0, dropped: 0, malformed: 0, strangers: 0 });
  });

  it("moves 100 MB each way again and again in flat memory on both ends", async () => {
    const bytes = 100 * MEBIBYTE;
    const data = new Uint8Array(bytes);
    for (let at = 0; at < bytes; at += 4096) data[at] = at / 4096;
    const sent = tensor("u8", [bytes], data);
    const move = async (rounds: number): Promise<{ own: number; worker: number }> => {
      for (let round = 0; round < rounds; round += 1) {
        const { tensors } = await worker.caller.call("echo", {}, { tensors: { sent } });
        expect(Buffer.compare(bytesOf(tensors["sent"]!.data), data)).toBe(0);
      }
      return { own: await leastOwnMemory(), worker: await leastMemoryOf(worker) };
    };
    const warm = await move(5);
    const later = await move(12);
    // Half of one message, while twelve rounds moved 24 of them.
    expect((later.own - warm.own) / MEBIBYTE).toBeLessThan(50);
    expect((later.worker - warm.worker) / MEBIBYTE).toBeLessThan(50);
  });

  it("reports progress, and stops a cancelled call at its next boundary", async () => {
    const controller = new AbortController();
    const steps: unknown[] = [];
    const call = worker.caller.call(
      "sleep",
      { seconds: 60, steps: 3000 },
      {
        signal: controller.signal,
        onProgress({ step }) {
          steps.push(step);
          if (step === 3) controller.abort();
        },
      },
    );
    await expect(call).rejects.toMatchObject({ code: "BRIDGE_CANCELLED", fields: { method: "sleep" } });
    expect(steps).toEqual([1, 2, 3]);
    // The main thread is free again: this call would wait for a minute otherwise.
    await worker.caller.call("echo", {}, { timeout: 20_000 });
    expect(worker.statistics().dropped).toBe(1);
  });

  it("stops a call when its time is over", async () => {
    const call = worker.caller.call("sleep", { seconds: 60, steps: 3000 }, { timeout: 50 });
    await expect(call).rejects.toMatchObject({ code: "BRIDGE_DEADLINE", fields: { method: "sleep", timeout: 50 } });
    await worker.caller.call("echo", {}, { timeout: 20_000 });
  });

  it("answers the side lane while the main thread computes", async () => {
    const answeredBefore = async (seconds: number): Promise<boolean> => {
      let over = false;
      const spin = worker.caller.call("spin", { seconds }).then(() => (over = true));
      await worker.caller.call("noop_fast", {});
      const before = !over;
      await spin;
      return before;
    };
    // A lane that waits for the other is late however long that takes; a machine that is busy is not.
    expect((await answeredBefore(0.5)) || (await answeredBefore(2)) || (await answeredBefore(10))).toBe(true);
  });

  it("tells typed errors, with the traceback of those it did not expect", async () => {
    const coded = worker.caller.call("fail", { code: "missing_images", message: "3 pictures", retryable: true });
    await expect(coded).rejects.toBeInstanceOf(WorkerError);
    await expect(coded).rejects.toMatchObject({
      code: "MISSING_IMAGES",
      message: "3 pictures",
      fields: { method: "fail", retryable: true },
    });
    const plain = worker.caller.call("fail", { message: "out of luck" });
    await expect(plain).rejects.toMatchObject({
      code: "WORKER_EXCEPTION",
      message: "RuntimeError: out of luck",
      fields: { retryable: false, traceback: expect.stringMatching(/^Traceback[\s\S]*selftest\.py[\s\S]*out of luck/) },
    });
  });

  it("runs stateful calls once each", async () => {
    const counts = await Promise.all(Array.from({ length: 10 }, () => worker.caller.call("count", {})));
    expect(counts.map(({ result }) => result["count"])).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
  });

  it("does not notice strangers on its sockets, which are counted", async () => {
    const [folder] = temporary.workerFolders();
    const hello = encodeMessage({ kind: "hello", id: "1", session: "guess", params: { token: "x" }, tensors: {} });
    const before = worker.statistics();
    for (const channel of ["data", "control"]) {
      const stranger = new Dealer({ linger: 0 });
      stranger.connect(`ipc://${folder}/${channel}`);
      await stranger.send([Buffer.alloc(0)]);
      await stranger.send([Buffer.from("GET / HTTP/1.1")]);
      await stranger.send(Array.from({ length: 50 }, () => Buffer.alloc(1000, 0xff)));
      await stranger.send(hello);
      while (worker.statistics().strangers < before.strangers + (channel === "data" ? 4 : 8)) {
        await worker.caller.call("echo", {});
      }
      stranger.close();
    }
    expect(worker.statistics()).toMatchObject({
      strangers: before.strangers + 8,
      malformed: 0,
      dropped: before.dropped,
    });
  });

  it("was never held up by what it wrote, and shows in its heartbeat that it is idle", async () => {
    expect(logged).toBeGreaterThan(0);
    expect(await eventually(() => worker.heartbeat?.method === null, 10_000)).toBe(true);
    expect(worker.heartbeat).toMatchObject({ phase: "idle" });
  });
});
