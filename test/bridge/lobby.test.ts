/** Where workers of other machines dial in, without Python: real ZeroMQ with CURVE, both ends in this process. */
import { readFileSync } from "node:fs";
import { curveKeyPair, Dealer, Router } from "zeromq";
import type { SocketOptions } from "zeromq";
import { describe, expect, it, onTestFinished } from "vitest";
import { decodeMessage, encodeMessage } from "../../src/bridge/index.js";
import type { PlainMap } from "../../src/bridge/index.js";
import { proveClosed } from "../../src/bridge/closed-door.js";
import { guardDomain } from "../../src/bridge/doorkeeper.js";
import { lobbyAddresses, openLobby } from "../../src/bridge/lobby.js";
import type { LobbyOptions } from "../../src/bridge/lobby.js";
import { bindRouter } from "../../src/bridge/router-socket.js";
import { freeAddress, keyFolder } from "./dialling.js";

interface KeyFile {
  readonly public_key: string;
  readonly secret_key: string;
  readonly control_key: string;
}

async function lobby(options: Partial<LobbyOptions> = {}) {
  const { keys, fileOf } = await keyFolder("node1");
  const news: string[] = [];
  const address = await freeAddress();
  const opened = await openLobby({
    address,
    keys,
    worldSize: 2,
    runtime: "0.1.0",
    heartbeatMs: 500,
    leaveSigtermMs: 60_000,
    maxMessageBytes: 2 ** 20,
    onNews: (sentence) => news.push(sentence),
    ...options,
  });
  onTestFinished(() => opened.close());
  const own = JSON.parse(readFileSync(fileOf("node1"), "utf8")) as KeyFile;
  const curve = { curvePublicKey: own.public_key, curveSecretKey: own.secret_key, curveServerKey: own.control_key };
  return { ...opened, addresses: lobbyAddresses(address), keys, curve, news };
}

function dealer(address: string, options: SocketOptions<Dealer>): Dealer {
  const socket = new Dealer({ linger: 0, reconnectInterval: 60_000, ...options });
  onTestFinished(() => socket.close());
  socket.connect(address);
  return socket;
}

/** Connects, and returns what becomes of it. */
function knock(address: string, options: SocketOptions<Dealer>): Promise<string> {
  const socket = new Dealer({ linger: 0, reconnectInterval: 60_000, ...options });
  onTestFinished(() => socket.close());
  return new Promise((resolve) => {
    // Listened to before it connects: what happens earlier is not told.
    for (const type of [
      "handshake",
      "handshake:error:auth",
      "handshake:error:protocol",
      "handshake:error:other",
      // What is left when the other end is quicker than the reason.
      "disconnect",
    ] as const) {
      socket.events.on(type, () => resolve(type));
    }
    socket.connect(address);
  });
}

/** Sends a greeting and returns the answer. */
async function greet(socket: Dealer, session: string, params: PlainMap) {
  await socket.send(encodeMessage({ kind: "hello", id: "hello-1", session, params, tensors: {} }));
  const { kind, error, params: answer } = decodeMessage(await socket.receive());
  return { kind, code: error?.code, answer, token: answer["token"] as string };
}

const JOIN = { role: "join", rank: 0, world_size: 2, host: "a", pid: 7, protocol: [1, 0], runtime: "0.1.0" };
const hello = (role: string, token: string, rank = 0): PlainMap => {
  const about = { pid: 1, protocol: [1, 0], runtime: "0.1.0", python: "3.11.7", methods: { echo: "pure" }, dtypes: [] };
  return { token, role, rank, ...about };
};

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 5));
}

describe("a lobby", () => {
  it("turns away a key that is not listed, a client without CURVE and one with another server key, and tells of each", async () => {
    const { addresses, curve, keys, news } = await lobby();
    expect(news).toEqual([]);
    const pair = curveKeyPair();
    const other = { curvePublicKey: pair.publicKey, curveSecretKey: pair.secretKey };
    expect(await knock(addresses.control, { ...other, curveServerKey: keys.publicKey })).toBe("handshake:error:auth");
    expect(await knock(addresses.data, {})).not.toBe("handshake");
    await until(() => news.length >= 2);
    expect(await knock(addresses.control, { ...curve, curveServerKey: pair.publicKey })).not.toBe("handshake");
    await until(() => news.length >= 3);
    expect(news[0]).toBe(`refused 127.0.0.1: its key ${pair.publicKey} is not listed`);
    // Which of the two is seen depends on who closes first.
    expect(news[1]).toMatch(/^refused a connection: it (does not use CURVE|did not complete the handshake) /);
    expect(news[2]).toMatch(/^refused a connection: it has another key of this control plane/);
  });

  it.each<[string, PlainMap, string]>([
    ["of another number of workers", { world_size: 3 }, "HELLO_WORLD_SIZE"],
    ["of a rank that does not exist", { rank: 2 }, "HELLO_RANK"],
    ["of another protocol", { protocol: [2, 0] }, "HELLO_VERSION"],
    ["of another version", { runtime: "0.0.9" }, "HELLO_VERSION"],
    ["that cannot be understood", { rank: -1 }, "HELLO_VERSION"],
  ])("refuses a worker %s", async (_name, changes, code) => {
    const { addresses, curve, news } = await lobby();
    const socket = dealer(addresses.control, { ...curve, routingId: "join-a" });
    expect(await greet(socket, "join", { ...JOIN, ...changes })).toMatchObject({ kind: "err", code });
    expect(news).toEqual([
      expect.stringMatching(new RegExp(`^refused join-a on the control socket: .*\\(${code}\\)$`)),
    ]);
  });

  it("gives a token that counts once, for one rank, in one launch; a rank that is there is not given again", async () => {
    const { addresses, curve, session, news, missing } = await lobby();
    const [data, control] = [dealer(addresses.data, curve), dealer(addresses.control, curve)];
    const { token: outdated } = await greet(control, "join", JOIN);
    const { token: again } = await greet(control, "join", JOIN);
    expect((await greet(data, session, hello("data", outdated))).code).toBe("HELLO_TOKEN");
    expect((await greet(data, session, hello("data", again, 1))).code).toBe("HELLO_TOKEN");
    expect((await greet(data, "launch of yesterday", hello("data", again))).code).toBe("HELLO_TOKEN");
    expect((await greet(data, session, hello("control", again))).code).toBe("HELLO_VERSION");
    expect((await greet(data, session, hello("data", again))).kind).toBe("hello");
    expect((await greet(control, session, hello("control", again))).kind).toBe("hello");
    const thief = dealer(addresses.data, curve);
    expect((await greet(thief, session, hello("data", again))).code).toBe("HELLO_REPLAYED");
    expect((await greet(dealer(addresses.control, curve), "join", JOIN)).code).toBe("HELLO_RANK");
    expect(missing()).toEqual([1]);
    expect(news.filter((line) => line.startsWith("refused")).length).toBe(6);
    expect(news).toContain("rank 0 on a (process 7) has joined: 1 of 2; waiting for rank 1");
    expect(news.join("\n")).not.toContain(again);

    control.close();
    await until(() => missing().length === 2);
    expect(news.at(-1)).toBe("rank 0 on a (process 7) has left again; its rank is free");
    expect((await greet(dealer(addresses.control, curve), "join", JOIN)).kind).toBe("hello");
  });

  it("writes no name into a log that a terminal might obey", async () => {
    const { addresses, curve, news } = await lobby();
    const socket = dealer(addresses.control, { ...curve, routingId: "\u001b[2J" });
    await greet(socket, "another launch", JOIN);
    expect(news[0]).toMatch(/^refused 0x1b5b324a on the control socket/);
  });

  it("tells of a refusal the first, tenth and hundredth time, and of a hundred different ones", async () => {
    const { addresses, curve, news } = await lobby();
    const socket = dealer(addresses.control, { ...curve, routingId: "join-a" });
    for (let knock = 0; knock < 101; knock += 1) await greet(socket, "another launch", JOIN);
    const sentence = "refused join-a on the control socket: it greets for another launch (HELLO_TOKEN)";
    expect(news).toEqual([sentence, `${sentence}, 10 times by now`, `${sentence}, 100 times by now`]);
    for (let knock = 0; knock < 101; knock += 1) await greet(socket, "join", { ...JOIN, world_size: 3 + knock });
    expect(news.length).toBe(3 + 99 + 1);
    expect(news.at(-1)).toBe("100 different refusals; no other is told of");
  });

  it("cannot be had where another program listens", async () => {
    const { addresses, keys } = await lobby();
    await expect(lobby({ address: addresses.control, keys })).rejects.toMatchObject({ code: "LISTEN_FAILED" });
  });
});

it("a doorkeeper can follow another at once", async () => {
  for (let time = 0; time < 20; time += 1) {
    const guard = await guardDomain({ keys: new Map(), onRefused: () => undefined });
    guard.close();
  }
});

describe("the self-test of a door", () => {
  const bound = async (options: SocketOptions<Router>) => {
    const router = new Router({ linger: 0, ...options });
    onTestFinished(() => router.close());
    await router.bind("tcp://127.0.0.1:0");
    return router.lastEndpoint!;
  };

  it("fails at one without CURVE, and at one with CURVE that nobody keeps", async () => {
    const { publicKey, secretKey } = curveKeyPair();
    const plain = await bound({});
    const heard = Promise.resolve();
    await expect(proveClosed({ address: plain, serverKey: publicKey, heard })).rejects.toMatchObject({
      code: "DOOR_OPEN",
    });
    const unkept = await bound({ curveServer: true, curveSecretKey: secretKey });
    await expect(proveClosed({ address: unkept, serverKey: publicKey, heard })).rejects.toMatchObject({
      code: "DOOR_OPEN",
      fields: { who: "a key that is not listed", outcome: "admitted" },
    });
  });

  it("fails where another program turns the strangers away", async () => {
    const { addresses, keys } = await lobby();
    const door = { address: addresses.control, serverKey: keys.publicKey };
    await proveClosed({ ...door, heard: Promise.resolve() });
    const heard = new Promise<void>(() => undefined);
    await expect(proveClosed({ ...door, heard, limit: 500 })).rejects.toMatchObject({
      code: "DOOR_OPEN",
      fields: { outcome: "silent" },
    });
  });

  it("is not all: a door that nobody keeps lets nobody in, not even a key that was once listed", async () => {
    const [server, worker] = [curveKeyPair(), curveKeyPair()];
    const address = await freeAddress();
    const nothing = (): void => undefined;
    const secure = { secretKey: server.secretKey, domain: "unkept", onLeft: nothing, onRefused: nothing };
    const router = await bindRouter({
      address,
      maxMessageBytes: 2 ** 20,
      onMessage: nothing,
      onFailure: nothing,
      secure,
    });
    onTestFinished(() => router.close());
    const { publicKey, secretKey } = worker;
    const curve = { curvePublicKey: publicKey, curveSecretKey: secretKey, curveServerKey: server.publicKey };
    expect(await knock(address, curve)).not.toBe("handshake");
    // The doorkeeper is there, and has no list for this door.
    const guard = await guardDomain({ keys: new Map([[publicKey, "worker"]]), onRefused: nothing });
    onTestFinished(() => guard.close());
    expect(await knock(address, curve)).toBe("handshake:error:auth");
  });
});
