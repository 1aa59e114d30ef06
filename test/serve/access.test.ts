import { describe, expect, it } from "vitest";
import { checkToken, createDoor, isLoopback } from "../../src/serve/access.js";
import type { AccessHeaders } from "../../src/serve/access.js";

const TOKEN = "0123456789abcdef";
const codeAtDoor = (token: string | null, headers: AccessHeaders): string => {
  try {
    createDoor(token)(headers);
    return "in";
  } catch (error) {
    return (error as { code: string }).code;
  }
};

describe("the address", () => {
  it.each(["127.0.0.1", "127.8.9.10", "::1"])("%s is this machine's alone", (address) => {
    expect(isLoopback(address)).toBe(true);
    expect(() => checkToken(address, null)).not.toThrow();
  });

  it.each(["0.0.0.0", "::", "192.168.1.4", "126.255.255.255", "128.0.0.1", "::ffff:10.0.0.1", "localhost", ""])(
    "%s needs a token",
    (address) => {
      expect(isLoopback(address)).toBe(false);
      expect(() => checkToken(address, null)).toThrow("a token is needed");
      expect(() => checkToken(address, TOKEN)).not.toThrow();
    },
  );
});

it.each(["", "short", "0123456789abcde", "0123456789 abcdef", "0123456789abcdé0123"])(
  "the token %j is refused, also on this machine",
  (token) => {
    expect(() => checkToken("127.0.0.1", token)).toThrow("at least 16");
  },
);

describe("a door with a token", () => {
  it.each([`Bearer ${TOKEN}`, `bearer  ${TOKEN}`, `BEARER ${TOKEN} `])("opens to %j, whatever the host", (given) => {
    expect(codeAtDoor(TOKEN, { authorization: given, host: "anywhere.example" })).toBe("in");
  });

  it.each([
    undefined,
    "",
    TOKEN,
    `Basic ${TOKEN}`,
    "Bearer",
    "Bearer ",
    `Bearer ${TOKEN}x`,
    `Bearer ${TOKEN.slice(1)}`,
    `Bearer ${TOKEN.toUpperCase()}`,
    `Bearer ${TOKEN} ${TOKEN}`,
  ])("stays shut to %j, also on this machine", (authorization) => {
    expect(codeAtDoor(TOKEN, { authorization, host: "localhost" })).toBe("SERVE_TOKEN");
  });

  it("says how to ask", () => {
    expect(() => createDoor(TOKEN)({})).toThrow(
      expect.objectContaining({ status: 401, headers: { "WWW-Authenticate": 'Bearer realm="thurstone"' } }),
    );
  });
});

describe("a door without a token", () => {
  it.each(["localhost", "LocalHost:80", "127.0.0.1", "127.0.0.1:8080", "[::1]:8080", "[::1]"])(
    "opens to who calls it %s",
    (host) => {
      expect(codeAtDoor(null, { host })).toBe("in");
    },
  );

  it.each([undefined, "", "evil.example", "evil.example:8080", "localhost.evil.example", "127.0.0.1.evil.example"])(
    "stays shut to who calls it %j: names can be made to point anywhere",
    (host) => {
      expect(codeAtDoor(null, { host })).toBe("SERVE_HOST");
    },
  );
});
