/**
 * The start-up self-test of a socket that other machines reach: strangers are turned away, or nobody is waited for.
 *
 * @module
 */
import { curveKeyPair, Dealer } from "zeromq";
import type { Event, SocketOptions } from "zeromq";
import { BridgeError } from "../errors.js";

export interface ClosedDoorOptions {
  /** Where the socket is bound, as somebody on this machine reaches it. */
  readonly address: string;
  readonly serverKey: string;
}

/** Milliseconds in which a stranger must have been turned away. */
const LIMIT = 5000;

/**
 * Knocks with a key that is not listed, and without CURVE.
 *
 * @throws BridgeError DOOR_OPEN when one of them gets in, or is not turned away in time
 */
export async function proveClosed({ address, serverKey }: ClosedDoorOptions): Promise<void> {
  const { publicKey, secretKey } = curveKeyPair();
  const strangers: [string, SocketOptions<Dealer>][] = [
    ["a key that is not listed", { curveServerKey: serverKey, curvePublicKey: publicKey, curveSecretKey: secretKey }],
    ["a client without CURVE", {}],
  ];
  await Promise.all(
    strangers.map(async ([who, options]) => {
      const outcome = await knock(address, options);
      if (outcome === "refused") return;
      throw new BridgeError(
        "DOOR_OPEN",
        `${address} ${outcome === "admitted" ? "lets in" : `did not turn away within ${LIMIT / 1000} s`} ${who}. ` +
          "Workers are not waited for at such a socket. Does another program answer at this address?",
        { fields: { address, who, outcome } },
      );
    }),
  );
}

async function knock(address: string, options: SocketOptions<Dealer>): Promise<"refused" | "admitted" | "silent"> {
  const socket = new Dealer({ ...options, linger: 0, routingId: "self-test", ipv6: address.includes("[") });
  let timer: NodeJS.Timeout | undefined;
  const outcome = await new Promise<"refused" | "admitted" | "silent">((resolve) => {
    timer = setTimeout(resolve, LIMIT, "silent");
    const listen = (type: Event["type"], result: "refused" | "admitted"): void => {
      socket.events.on(type, () => resolve(result));
    };
    listen("handshake", "admitted");
    listen("handshake:error:auth", "refused");
    listen("handshake:error:protocol", "refused");
    // The other end may close before the reason is seen; whoever is let in sees the handshake first.
    listen("disconnect", "refused");
    socket.connect(address);
  });
  clearTimeout(timer);
  socket.close();
  return outcome;
}
