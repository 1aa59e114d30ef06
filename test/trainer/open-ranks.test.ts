import { availableParallelism } from "node:os";
import { expect, it } from "vitest";
import { openPolicy } from "../../src/index.js";
import type { ConfigInput, OpenPolicyOptions } from "../../src/index.js";
import { createFakeWorker } from "../../src/testing/index.js";

/** Parameters of `load` by rank, of a policy that is opened with these keys. */
async function loadsOf(
  keys: Partial<ConfigInput>,
  options: OpenPolicyOptions = {},
): Promise<Record<string, unknown>[]> {
  const worker = createFakeWorker({ ranks: keys.num_processes ?? 1 });
  const connect = async () => ({ ...(await worker.connect()), rendezvous: "/meeting" });
  const config = { model_name_or_path: "none", data_file_paths: ["none"], image_folders: ["none"], ...keys };
  await using _policy = await openPolicy(config, { connect, ...options });
  return worker.calls.filter(({ method }) => method === "load").map(({ params }) => params);
}

it("ranks that train share the machine's cores, and are told how to meet and spread", async () => {
  const meeting = { world_size: 2, rendezvous: "/meeting", timeout: 9 };
  expect(await loadsOf({ num_processes: 2, rank_timeout: 9 })).toMatchObject(
    [0, 1].map((rank) => ({
      strategy: "ddp",
      threads: Math.max(1, Math.floor(availableParallelism() / 2)),
      ranks: { rank, ...meeting },
    })),
  );
  const asked = await loadsOf({ num_processes: 2, strategy: "fsdp2", worker_threads: 3 });
  expect(asked).toMatchObject([
    { strategy: "fsdp2", threads: 3, gather_for_generation: true },
    { strategy: "fsdp2", threads: 3, gather_for_generation: true },
  ]);
  const layerwise = { num_processes: 2, strategy: "fsdp2", ds3_gather_for_generation: false } as const;
  expect(await loadsOf(layerwise)).toMatchObject([0, 1].map(() => ({ gather_for_generation: false })));
});

it("one worker leaves its threads to PyTorch, and ranks that only score have a model each", async () => {
  expect(await loadsOf({ strategy: "fsdp2" })).toMatchObject([{ strategy: "single", threads: 0, ranks: null }]);
  const scoring = await loadsOf({ num_processes: 2 }, { inference: true });
  expect(scoring).toMatchObject([0, 1].map(() => ({ strategy: "single", train: false, ranks: null })));
});
