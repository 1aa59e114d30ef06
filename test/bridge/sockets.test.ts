/** Sockets without Python: real ZeroMQ, both ends in this process. */
import { Dealer } from "zeromq";
import { describe, expect, it, onTestFinished } from "vitest";
import { decodeMessage, encodeMessage } from "../../src/bridge/index.js";
import type { PlainMap } from "../../src/bridge/index.js";
import { bindRouter } from "../../src/bridge/router-socket.js";
import { openWorkerSockets } from "../../src/bridge/worker-sockets.js";

const SESSION = "launch";
const TOKEN = "secret";
let names = 0;

function dealer(address: string, name = `dealer-${names++}`): Dealer {
  const socket = new Dealer({ linger: 0, routingId: name, receiveHighWaterMark: 5 });
  socket.connect(address);
  onTestFinished(() => socket.close());
  return socket;
}

async function openSockets() {
  const sockets = await openWorkerSockets({ session: SESSION, token: TOKEN, rank: 0, maxMessageBytes: 2 ** 20 });
  onTestFinished(() => sockets.close());
  return sockets;
}

function hello(role: string, changes: PlainMap = {}, session = SESSION): Uint8Array[] {
  const about = { pid: 1, protocol: [1, 0], runtime: "0.1.0", python: "3.11.7", methods: { echo: "pure" }, dtypes: [] };
  const params = { token: TOKEN, role, rank: 0, ...about, ...changes };
  return encodeMessage({ kind: "hello", id: `hello-${role}`, session, params, tensors: {} });
}

/** Sends frames and returns the answer's kind and code. */
async function ask(socket: Dealer, frames: Uint8Array[]): Promise<unknown[]> {
  await socket.send(frames);
  const { kind, error } = decodeMessage(await socket.receive());
  return [kind, error?.code];
}

describe("the sockets of a worker", () => {
  it("listen to the one that greets rightly, and keep what it says until somebody listens", async () => {
    const sockets = await openSockets();
    const [data, control] = [dealer(sockets.addresses.data), dealer(sockets.addresses.control)];
    expect(await ask(control, hello("control"))).toEqual(["hello", undefined]);
    await control.send(["early"]);
    expect(await ask(data, hello("data"))).toEqual(["hello", undefined]);
    expect((await sockets.greeted).methods).toEqual({ echo: "pure" });

    const late = dealer(sockets.addresses.control);
    await late.send(hello("control"));
    const heard: string[] = [];
    const said = new Promise<void>((resolve) => {
      sockets.transports.control.start({
        onMessage: ([frame]) => {
          heard.push(Buffer.from(frame!).toString());
          if (heard.length === 2) resolve();
        },
        onClose: () => undefined,
      });
    });
    await control.send(["later"]);
    await said;
    expect(heard).toEqual(["early", "later"]);
    while (sockets.strangers() < 1) await new Promise((resolve) => setImmediate(resolve));
    expect(sockets.strangers()).toBe(1);
  });

  it("tell somebody without the token no more than that, and still wait for the right one", async () => {
    const sockets = await openSockets();
    const stranger = dealer(sockets.addresses.data);
    await stranger.send(["garbage"]);
    await stranger.send(hello("data", {}, "another launch"));
    expect(await ask(stranger, hello("data", { token: "guess", protocol: "nonsense" }))).toEqual([
      "err",
      "HELLO_TOKEN",
    ]);
    expect(await ask(stranger, hello("data", { token: 7 }))).toEqual(["err", "HELLO_TOKEN"]);
    expect(sockets.strangers()).toBe(4);
    expect(await ask(dealer(sockets.addresses.data), hello("data"))).toEqual(["hello", undefined]);
  });

  it.each<[string, PlainMap]>([
    ["of another protocol", { protocol: [2, 0] }],
    ["of another rank", { rank: 1 }],
    ["on the wrong socket", { role: "control" }],
    ["that cannot be understood", { methods: { echo: "sometimes" } }],
  ])("refuse a worker %s", async (_name, changes) => {
    const sockets = await openSockets();
    expect(await ask(dealer(sockets.addresses.data), hello("data", changes))).toEqual(["err", "HELLO_VERSION"]);
    await expect(sockets.greeted).rejects.toMatchObject({ code: "WORKER_MISMATCH" });
  });
});

describe("a router", () => {
  const bind = async (onMessage: (identity: Buffer, frames: Uint8Array[]) => void) => {
    const address = `inproc://router-${names++}`;
    const onFailure = (error: Error): never => {
      throw error;
    };
    const router = await bindRouter({ address, maxMessageBytes: 2 ** 20, onMessage, onFailure });
    onTestFinished(() => router.close());
    return { router, address };
  };

  it("says that a peer which is not connected cannot be reached", async () => {
    let arrived = (): void => undefined;
    const here = new Promise<void>((resolve) => (arrived = resolve));
    const { router, address } = await bind(() => arrived());
    await dealer(address).send(["here"]);
    await here;
    const nobody = router.send(Buffer.from("nobody"), [Buffer.from("x")]);
    await expect(nobody).rejects.toMatchObject({ code: "BRIDGE_UNREACHABLE" });
  });

  it("delivers many messages sent at once in order, also to one that reads slowly", async () => {
    let arrived = (_identity: Buffer): void => undefined;
    const identity = new Promise<Buffer>((resolve) => (arrived = resolve));
    const { router, address } = await bind((from) => arrived(from));
    const slow = dealer(address);
    await slow.send(["here"]);
    const to = await identity;
    // More than the queues of both ends hold, so that sends meet a full one.
    const count = 3000;
    const sent = Promise.all(Array.from({ length: count }, (_, n) => router.send(to, [Buffer.from(String(n))])));
    await new Promise((resolve) => setTimeout(resolve, 20));
    for (let n = 0; n < count; n += 1) expect(String((await slow.receive())[0])).toBe(String(n));
    await sent;
  });

  it("rejects what waits when it is closed, and whatever is sent afterwards", async () => {
    let arrived = (_identity: Buffer): void => undefined;
    const identity = new Promise<Buffer>((resolve) => (arrived = resolve));
    const { router, address } = await bind((from) => arrived(from));
    await dealer(address).send(["here"]);
    const to = await identity;
    const sends = Array.from({ length: 3000 }, () => router.send(to, [Buffer.from("x")]));
    router.close();
    const outcomes = await Promise.allSettled([...sends, router.send(to, [Buffer.from("x")])]);
    const refused = outcomes.filter(({ status }) => status === "rejected");
    expect(refused.length).toBeGreaterThan(0);
    for (const one of refused) expect(one).toMatchObject({ reason: { code: "BRIDGE_CLOSED" } });
    expect(outcomes.at(-1)).toMatchObject({ status: "rejected" });
  });
});
