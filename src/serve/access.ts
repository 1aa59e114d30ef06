/**
 * Who may ask: anybody on this machine, or whoever has the token.
 *
 * @module
 */
import { createHash, timingSafeEqual } from "node:crypto";
import { BlockList, isIP } from "node:net";
import { ConfigError } from "../errors.js";
import { Refusal } from "./refusal.js";

const LOOPBACK = new BlockList();
LOOPBACK.addSubnet("127.0.0.0", 8, "ipv4");
LOOPBACK.addAddress("::1", "ipv6");

/** Characters of a token at least: what can be guessed protects nothing. */
const TOKEN_LENGTH = 16;

/** Whether only this machine can reach an address. A name is none. */
export function isLoopback(address: string): boolean {
  const version = isIP(address);
  return version !== 0 && LOOPBACK.check(address, version === 4 ? "ipv4" : "ipv6");
}

/**
 * @param token null: none is asked for
 * @throws ConfigError SERVE_TOKEN for none on an address that others can reach, and for one that is short or cannot be sent
 */
export function checkToken(address: string, token: string | null): void {
  if (token === null) {
    if (isLoopback(address)) return;
    throw new ConfigError(
      "SERVE_TOKEN",
      `others can reach ${address}, so a token is needed: set THURSTONE_TOKEN, or give --token or --generate-token.`,
    );
  }
  if (token.length < TOKEN_LENGTH || !/^[\w\-.~+/]+=*$/.test(token)) {
    throw new ConfigError(
      "SERVE_TOKEN",
      `the token must have at least ${TOKEN_LENGTH} letters, digits or characters of "-._~+/" (RFC 6750). --generate-token makes one.`,
    );
  }
}

/** What of a request decides whether it is let in. */
export interface AccessHeaders {
  readonly authorization?: string | undefined;
  readonly host?: string | undefined;
}

/**
 * Without a token the name a client called us by must be this machine's: a page in a browser here can make a name of its own
 * point at this machine, and would then read what is meant for its user (DNS rebinding).
 *
 * @returns throws Refusal SERVE_TOKEN or SERVE_HOST for a request that is not let in
 */
export function createDoor(token: string | null): (headers: AccessHeaders) => void {
  if (token === null) return ({ host }) => checkHost(host);
  const expected = digest(token);
  return ({ authorization = "" }) => {
    const given = /^bearer +(\S+) *$/i.exec(authorization)?.[1];
    // Digests have one length, whatever was given, and their comparison takes one time.
    const same = timingSafeEqual(digest(given ?? ""), expected);
    if (given !== undefined && same) return;
    throw new Refusal(
      "SERVE_TOKEN",
      given === undefined
        ? 'this service asks for its token. Send the header "Authorization: Bearer TOKEN".'
        : "the token is another one than this service was started with.",
      { "WWW-Authenticate": 'Bearer realm="thurstone"' },
    );
  };
}

function checkHost(host: string | undefined): void {
  const name = (host ?? "").replace(/:\d*$/, "").replace(/^\[(.*)\]$/, "$1");
  if (name.toLowerCase() === "localhost" || isLoopback(name)) return;
  throw new Refusal(
    "SERVE_HOST",
    `this service has no token and answers only to localhost, 127.0.0.1 and [::1], and was called "${host ?? ""}". Start it with a token to call it by other names.`,
  );
}

function digest(text: string): Buffer {
  return createHash("sha256").update(text).digest();
}
