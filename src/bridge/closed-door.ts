/**
 * The start-up self-test of a socket that other machines reach: strangers are turned away, or nobody is waited for.
 *
 * @module
 */
import { setTimeout as sleep } from "node:timers/promises";
import { curveKeyPair, Dealer } from "zeromq";
import type { Event, SocketOptions } from "zeromq";
import { BridgeError } from "../errors.js";

export interface ClosedDoorOptions {
  /** Where the socket is bound, as somebody on this machine reaches it. */
  readonly address: string;
  readonly serverKey: string;
  /**
   * Resolves when the socket behind the address has told of a client without CURVE: it tells a little later than the client
   * learns of it, and not at all when another program answers at this address.
   */
  readonly heard: Promise<void>;
  /** Milliseconds in which a stranger must have been turned away. Default 5,000. */
  readonly limit?: number;
}

type Outcome = "refused" | "admitted" | "silent";

/**
 * Knocks with a key that is not listed, and without CURVE.
 *
 * @throws BridgeError DOOR_OPEN when one of them gets in, or is not turned away in time
 */
export async function proveClosed({ address, serverKey, heard, limit = 5000 }: ClosedDoorOptions): Promise<void> {
  const { publicKey, secretKey } = curveKeyPair();
  const strangers: [string, SocketOptions<Dealer>][] = [
    ["a key that is not listed", { curveServerKey: serverKey, curvePublicKey: publicKey, curveSecretKey: secretKey }],
    ["a client without CURVE", {}],
  ];
  const heardInTime = Promise.race([heard.then(() => "refused" as const), silence(limit)]);
  await Promise.all(
    strangers.map(async ([who, options]) => {
      const answer = await knock(address, options, limit);
      const outcome = answer === "refused" ? await heardInTime : answer;
      if (outcome === "refused") return;
      throw new BridgeError(
        "DOOR_OPEN",
        `${address} ${outcome === "admitted" ? "lets in" : `did not turn away within ${limit / 1000} s`} ${who}. ` +
          "Workers are not waited for at such a socket. Does another program answer at this address?",
        { fields: { address, who, outcome } },
      );
    }),
  );
}

async function knock(address: string, options: SocketOptions<Dealer>, limit: number): Promise<Outcome> {
  const socket = new Dealer({ ...options, linger: 0, routingId: "self-test", ipv6: address.includes("[") });
  const answer = new Promise<Outcome>((resolve) => {
    const listen = (type: Event["type"], result: Outcome): void => {
      socket.events.on(type, () => resolve(result));
    };
    listen("handshake", "admitted");
    listen("handshake:error:auth", "refused");
    listen("handshake:error:protocol", "refused");
    // The other end may close before the reason is seen; whoever is let in sees the handshake first.
    listen("disconnect", "refused");
    socket.connect(address);
  });
  const outcome = await Promise.race([answer, silence(limit)]);
  socket.close();
  return outcome;
}

/** Nothing for so long. Does not keep the process alive. */
async function silence(milliseconds: number): Promise<Outcome> {
  await sleep(milliseconds, undefined, { ref: false });
  return "silent";
}
