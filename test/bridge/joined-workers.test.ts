/** Python workers that dial in over loopback addresses, each a machine of its own as far as it knows. */
import { chmodSync, copyFileSync, readFileSync, writeFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { describe, expect, it, onTestFinished } from "vitest";
import { makeKeys } from "../../src/bridge/index.js";
import type { DialledIn } from "./dialling.js";
import { dialIn, freeAddress, keyFolder, listen } from "./dialling.js";
import { eventually } from "./selftest-worker.js";

const place = (rank: number): string[] => ["--rank", `${rank}`, "--world-size", "2", "--rendezvous", "127.0.0.1:1"];

describe("workers that dial in", () => {
  it("try until the control plane is there, are refused for what they are, work, and go together", async () => {
    const { folder, control, fileOf } = await keyFolder("node1", "node2");
    const address = await freeAddress("127.0.0.2");
    const [first, second] = [
      dialIn(address, fileOf("node1"), ...place(0)),
      dialIn(address, fileOf("node2"), ...place(1)),
    ];
    await eventually(() => first.said.includes("nobody answers there yet"), 20_000);

    const elsewhere = await keyFolder("node1");
    const [news, joined] = listen({ address, keyFile: control, worldSize: 2 });
    const stranger = dialIn(address, elsewhere.fileOf("node1"), "--wait", "3");
    copyFileSync(fileOf("node1"), fileOf("copy"));
    const copied = dialIn(address, fileOf("copy"), ...place(0));
    const alone = dialIn(address, fileOf("node2"));
    const workers = await joined;
    expect(await stranger.ended).toBe(14);
    expect(stranger.said).toMatch(/gave up after 3 s .*its key is not the control_key of the key file/s);
    expect(await alone.ended).toBe(14);
    expect(alone.said).toContain("it is one of 1 workers, and num_processes is 2 (HELLO_WORLD_SIZE)");
    // Whichever of the two with this rank came first, or asked last.
    const refused = await Promise.race([first, copied].map(async (worker) => [await worker.ended, worker.said]));
    expect([
      [14, expect.stringContaining("rank 0 is there already (HELLO_RANK)")],
      [11, expect.stringContaining("another worker of this rank may have asked since")],
    ]).toContainEqual(refused);
    expect(news.join("\n")).toMatch(/refused .*HELLO_WORLD_SIZE/);
    expect(news.join("\n")).toMatch(/refused .*HELLO_(RANK|TOKEN)/);
    expect(workers.hellos.map(({ rank }) => rank)).toEqual([0, 1]);
    const replies = await Promise.all(workers.callers.map((caller, rank) => caller.call("echo", { rank })));
    expect(replies.map(({ result }) => result)).toEqual([{ rank: 0 }, { rank: 1 }]);

    const calls = Promise.allSettled(
      workers.callers.map((caller) => caller.call("sleep", { seconds: 60, steps: 600 })),
    );
    const rest = [first, copied].find((worker) => worker.process.exitCode === null)!;
    await new Promise((resolve) => setTimeout(resolve, 100));
    second.process.kill("SIGKILL");
    for (const outcome of await calls) {
      expect(outcome).toMatchObject({
        status: "rejected",
        reason: {
          code: "WORKER_LOST",
          message: expect.stringMatching(/^the connection to rank 1 on .* ended during sleep/) as string,
          fields: { rank: 1, method: "sleep" },
        },
      });
    }
    expect(await rest.ended).toBe(13);
    expect(rest.said).toMatch(/the connection to the control plane at \S+ has ended/);
    await workers.stop();

    // The list is read anew by the next run, at the same address.
    await makeKeys(folder, ["node3"]);
    const [, next] = listen({ address, keyFile: control, worldSize: 1 });
    const third = dialIn(address, fileOf("node3"));
    const again = await next;
    expect((await again.callers[0]!.call("count", {})).result).toEqual({ count: 1 });
    await again.stop();
    expect(await third.ended).toBe(0);
  });

  it("say that a tunnel lacks the second port", async () => {
    const { control, fileOf } = await keyFolder("node1");
    const [address, tunnel] = [await freeAddress("127.0.0.2"), await freeAddress("127.0.0.3")];
    const { hostname: host, port } = new URL(address);
    const server = createServer((near) => {
      const far = connect(Number(port), host);
      near.pipe(far).pipe(near);
      for (const end of [near, far]) end.on("error", () => undefined);
    });
    onTestFinished(() => void server.close());
    server.listen(Number(new URL(tunnel).port), "127.0.0.3");
    const stop = new AbortController();
    const [news, joined] = listen({ address, keyFile: control, worldSize: 1, signal: stop.signal });
    const worker = dialIn(tunnel, fileOf("node1"));
    expect(await worker.ended).toBe(13);
    expect(worker.said).toMatch(/connection to the control plane at \S+ cannot be made; .* let both ports through/);
    stop.abort(new Error("enough"));
    await expect(joined).rejects.toThrow("enough");
    // Its other connection may have ended within the handshake, which is told.
    expect(news.filter((line) => !line.includes("did not complete the handshake"))).toEqual([
      `waiting at ${address} for 1 workers`,
    ]);
  });

  it("end as documented, without a traceback, where they cannot even try or nobody is there", async () => {
    const { fileOf } = await keyFolder("node1");
    const address = await freeAddress("127.0.0.2");
    const key = JSON.parse(readFileSync(fileOf("node1"), "utf8")) as object;
    writeFileSync(fileOf("number"), JSON.stringify({ ...key, public_key: 7 }), { mode: 0o600 });
    const waiting = dialIn(address, fileOf("node1"));
    const ends: [DialledIn, number, string][] = [
      [dialIn("tcp://a b:5990", fileOf("node1")), 2, '"tcp://a b:5990" is no address'],
      [dialIn("tcp://127.0.0.1:0", fileOf("node1")), 2, "has port 0"],
      [dialIn(address, fileOf("node1"), "--wait", "nan"), 2, "nan is no number of seconds"],
      [dialIn(address, fileOf("number")), 14, 'is no worker key of "thurstone keys"'],
      [dialIn("tcp://nobody.invalid:5990", fileOf("node1"), "--wait", "0.1"), 14, "nobody.invalid cannot be resolved"],
      [dialIn(address, fileOf("node1"), "--wait", "0.1"), 14, "nobody answers there yet"],
    ];
    for (const [worker, status, said] of ends) {
      expect([await worker.ended, worker.said]).toEqual([status, expect.stringContaining(said)]);
      expect(worker.said).not.toContain("Traceback");
    }
    await eventually(() => waiting.said.includes("nobody answers there yet"), 20_000);
    waiting.process.kill("SIGINT");
    expect([await waiting.ended, waiting.said]).toEqual([143, expect.not.stringContaining("Traceback")]);
  });

  it("say what their key files and flags lack, and the control plane who did not come", async () => {
    const { control, fileOf } = await keyFolder("node1");
    const address = await freeAddress();
    const { fileOf: unlisted, keys } = await keyFolder("node1");
    expect(keys.workers.size).toBe(1);
    chmodSync(unlisted("node1"), 0o644);
    const open = dialIn(address, unlisted("node1"));
    const lost = dialIn(address, fileOf("node1"), "--world-size", "2");
    const [news, joined] = listen({ address, keyFile: control, worldSize: 1, waitTimeout: 1500 });
    await expect(joined).rejects.toMatchObject({ code: "WORKERS_MISSING", fields: { ranks: [0] } });
    expect(news).toEqual([`waiting at ${address} for 1 workers`]);
    expect([await open.ended, await lost.ended]).toEqual([14, 2]);
    expect(open.said).toContain("has mode 644");
    expect(lost.said).toContain("start them with torchrun, or give all of them the same --rendezvous HOST:PORT");
  });
});
