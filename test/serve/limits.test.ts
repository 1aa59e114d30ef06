import { readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { createBudget } from "../../src/serve/budget.js";
import { checkLimits, DEFAULT_LIMITS } from "../../src/serve/limits.js";
import { Refusal, REFUSAL_STATUS, refusalBody } from "../../src/serve/refusal.js";

it.each([
  [{}, null],
  [{ maxPictures: 257 }, "257 pictures, and only 256 may wait"],
  [{ maxHeldBytes: 1000 }, "33554432 bytes, and all together only 1000"],
  [{ headerTimeout: 60_001 }, "60001 ms, and the whole request only 60000"],
])("limits %o are refused where what one allows another can never allow", (limits, message) => {
  const check = (): void => checkLimits({ ...DEFAULT_LIMITS, ...limits });
  if (message === null) expect(check).not.toThrow();
  else expect(check).toThrow(message);
});

it("bytes are held up to the limit, each request's by itself, and given back", () => {
  const budget = createBudget(100);
  const [one, other] = [budget.hold(), budget.hold()];
  one.raise(60);
  one.raise(50);
  other.raise(40);
  expect(budget.bytes).toBe(100);
  expect(() => other.raise(41)).toThrow(expect.objectContaining({ code: "SERVE_BUSY", status: 503 }));
  expect(budget.bytes).toBe(100);
  one.release();
  one.release();
  expect(budget.bytes).toBe(40);
  other.raise(100);
  other.release();
  expect(budget.bytes).toBe(0);
});

it("a refusal has the status of its code, and a body with code and message", () => {
  const refusal = new Refusal("SERVE_TOO_LARGE", 'more than "1" byte.');
  expect(refusal.status).toBe(413);
  expect(JSON.parse(refusalBody(refusal))).toEqual({
    error: { code: "SERVE_TOO_LARGE", message: 'more than "1" byte.' },
  });
  expect(Object.values(REFUSAL_STATUS).every((status) => status >= 400 && status < 600)).toBe(true);
});

it("every refusal stands in the documentation, in the row of its status", () => {
  const page = readFileSync("docs/serve.md", "utf8");
  for (const [code, status] of Object.entries(REFUSAL_STATUS)) {
    expect(page).toMatch(new RegExp(`^\\| ${status} .*\`${code}\``, "m"));
  }
});
