import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { exportSource } from "../../src/trainer/index.js";
import type { ConfigInput, VerifyOptions } from "../../src/index.js";
import { createFakeWorker } from "../../src/testing/index.js";
import { processesOf } from "../../src/trainer/verify/processes.js";
import { createDataSet } from "../support/data-set.js";
import type { DataSet } from "../support/data-set.js";
import { complete, verify } from "../support/verified-run.js";
import { runFake } from "../support/fake-run.js";

type Keys = Partial<ConfigInput>;

let set: DataSet;
/** A run of two ranks that dialled in. */
let run: string;
beforeAll(async () => {
  set = await createDataSet();
  const config = set.config("dialled", {
    num_processes: 2,
    strategy: "ddp",
    per_device_train_batch_size: 2,
    gradient_accumulation_steps: 3,
    worker_address: "tcp://10.0.0.1:5555",
    worker_key_file: "keys/control.json",
  });
  await runFake(config, { connect: ranks(2) });
  run = config.output_dir!;
});
afterAll(() => set.remove());

/** So many, which meet somewhere. */
function ranks(count: number) {
  const worker = createFakeWorker({ complete, ranks: count });
  return async () => ({ ...(await worker.connect()), rendezvous: null });
}

/** What the workers are asked to be. */
async function askedBy<T>(count: number, work: (options: Required<Pick<VerifyOptions, "connect">>) => Promise<T>) {
  const asked: Keys[] = [];
  const result = await work({
    connect: async (config) => {
      const { num_processes, strategy, worker_address, worker_key_file } = config;
      asked.push({ num_processes, strategy, worker_address, worker_key_file });
      return ranks(count)();
    },
  });
  return { asked, result };
}

describe("a run of ranks that dialled in", () => {
  const here = { worker_address: null, worker_key_file: null };

  it("is verified by as many of this machine, to the bit", async () => {
    const { asked, result } = await askedBy(2, (options) => verify(run, options));
    expect(asked).toEqual([{ num_processes: 2, strategy: "ddp", ...here }]);
    expect(result).toMatchObject({ agrees: true, otherMachine: [] });
  });

  it("is verified by one process, which is another machine", async () => {
    const config = { num_processes: 1 };
    const { asked, result } = await askedBy(1, (options) => verify(run, { ...options, config }));
    expect(asked).toEqual([{ num_processes: 1, strategy: "ddp", ...here }]);
    expect(result).toMatchObject({
      differences: [],
      otherMachine: ["machine.ranks was 2 and is 1", "strategy was ddp and is single"],
    });
  });

  it("is verified by workers that dial in where that is asked for", async () => {
    const config = { worker_address: "tcp://10.0.0.2:5555", worker_key_file: "other.json" };
    const { asked } = await askedBy(2, (options) => verify(run, { ...options, config }));
    expect(asked).toEqual([{ num_processes: 2, strategy: "ddp", ...config }]);
  });

  it("is exported by one process of this machine, or by those asked for", async () => {
    const one = await askedBy(1, (options) => exportSource({ ...options, source: run, out: `${set.folder}/one` }));
    expect(one.asked).toEqual([{ num_processes: 1, strategy: null, ...here }]);
    expect(one.result.step).toBe(4);
    const processes = { num_processes: 2, strategy: "fsdp2" } as const;
    const two = await askedBy(2, (options) =>
      exportSource({ ...options, source: run, out: `${set.folder}/two`, processes }),
    );
    expect(two.asked).toEqual([{ ...processes, ...here }]);
  });
});

describe("other processes", () => {
  const recorded = {
    num_processes: 4,
    strategy: "ddp",
    deepspeed: null,
    per_device_train_batch_size: 3,
    gradient_accumulation_steps: 1,
  };

  it("take as many passes as keep the update's size, and are refused where none do", () => {
    expect(processesOf(recorded, { num_processes: 2 }).keys).toMatchObject({ gradient_accumulation_steps: 2 });
    expect(() => processesOf(recorded, { num_processes: 3 })).toThrow(
      "num_processes is 3, and an update of the run is 12 in passes of 3 (per_device_train_batch_size), which 3 processes cannot share evenly. Use a divisor of 4.",
    );
  });

  it("are told of where sums are made in another way", () => {
    expect(processesOf(recorded, { num_processes: 2 }).differences).toEqual([]);
    expect(processesOf(recorded, { strategy: "fsdp2" }).differences).toEqual(["strategy was ddp and is fsdp2"]);
    const zero = { ...recorded, strategy: null, deepspeed: "zero2.json" };
    expect(processesOf(zero, { deepspeed: "zero3.json" }).differences).toEqual([
      "deepspeed was zero2.json and is zero3.json",
    ]);
    expect(processesOf(zero, { deepspeed: null }).differences).toEqual(["strategy was deepspeed and is ddp"]);
  });
});
