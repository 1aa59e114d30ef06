import { afterEach, describe, expect, it, vi } from "vitest";
import { z } from "zod";
import { httpReward } from "../../src/index.js";
import { testReward } from "../../src/testing/index.js";
import { sendJson, startServer } from "./server.js";
import type { Answer } from "./server.js";

const prompts = [
  { row: { id: "a", dataset: "d", mos: 4, secret: "s" }, completions: ["one", "two"] },
  { row: { id: "b", dataset: "d", mos: 2, secret: "t" }, completions: [{ text: "three", finishReason: "length" }] },
] as const;
const good = { values: [[1, 0.5], [null]] };

/** Options of every reward here: further tries come at once. */
const quick = { name: "remote", backoffMs: 0 } as const;

async function failureWith(answer: Answer, options: Partial<Parameters<typeof httpReward>[0]> = {}) {
  await using server = await startServer(answer);
  const reward = httpReward({ ...quick, url: `${server.origin}/score?key=hidden`, ...options });
  const error = (await testReward(reward, prompts, { step: 5 }).catch((reason: unknown) => reason)) as Error & {
    code: string;
    fields: Record<string, unknown>;
  };
  return { error, requests: server.requests.length };
}

const raw =
  (text: string, status = 200): Answer =>
  (_, response) =>
    void response.writeHead(status).end(text);

describe("httpReward", () => {
  it("posts the step as JSON and reads numbers back", async () => {
    await using server = await startServer((_, response) => sendJson(response, good));
    const reward = httpReward({ ...quick, url: `${server.origin}/score` });
    expect((await testReward(reward, prompts, { step: 5 })).values).toEqual(good.values);
    expect(server.requests).toHaveLength(1);
    expect(server.requests[0]!.path).toBe("/score");
    expect(server.requests[0]!.headers["content-type"]).toBe("application/json");
    expect(server.requests[0]!.body).toEqual({
      reward: "remote",
      step: 5,
      groups: [
        {
          row: { id: "a", dataset: "d" },
          completions: [
            { text: "one", tokens: 3, finish: "stop" },
            { text: "two", tokens: 3, finish: "stop" },
          ],
        },
        { row: { id: "b", dataset: "d" }, completions: [{ text: "three", tokens: 5, finish: "length" }] },
      ],
    });
  });

  it("sends of a row what its schema picks, and nothing else", async () => {
    await using server = await startServer((_, response) => sendJson(response, good));
    const reward = httpReward({ ...quick, url: server.origin, row: z.object({ mos: z.number() }) });
    await testReward(reward, prompts);
    const { groups, step } = server.requests[0]!.body as { groups: { row: unknown }[]; step: unknown };
    expect(groups.map(({ row }) => row)).toEqual([{ mos: 4 }, { mos: 2 }]);
    expect(step).toBeNull();
    expect(JSON.stringify(server.requests[0]!.body)).not.toContain("secret");
  });

  it("sends one request for each prompt where that is asked for, a few at a time", async () => {
    let open = 0;
    let most = 0;
    await using server = await startServer(async ({ body }, response) => {
      most = Math.max(most, (open += 1));
      await new Promise(setImmediate);
      open -= 1;
      const [{ completions }] = (body as { groups: [{ completions: { tokens: number }[] }] }).groups;
      sendJson(response, { values: [completions.map(({ tokens }) => tokens)] });
    });
    const reward = httpReward({ ...quick, url: server.origin, send: "prompt", concurrency: 2 });
    const many = Array.from({ length: 7 }, (_, index) => ({ completions: ["x".repeat(index)] }));
    expect((await testReward(reward, many)).values).toEqual([[0], [1], [2], [3], [4], [5], [6]]);
    expect(server.requests).toHaveLength(7);
    expect(most).toBeLessThanOrEqual(2);
  });

  it("records columns that come with a value", async () => {
    const columns = { why: "sharp", votes: 3 };
    await using server = await startServer((_, response) =>
      sendJson(response, { values: [[{ value: 1, columns }, 0], [{ value: null }]] }),
    );
    const tested = await testReward(httpReward({ ...quick, url: server.origin }), prompts);
    expect(tested.values).toEqual([[1, 0], [null]]);
    expect(tested.attachments).toEqual([[{ columns }, null], [null]]);
  });
});

describe("a server in trouble", () => {
  it("is asked again after a 500, and after a connection that was cut", async () => {
    await using server = await startServer((_, response, count) => {
      if (count === 1) return sendJson(response, { error: "warming up" }, 500);
      if (count === 2) return void response.destroy();
      sendJson(response, good);
    });
    const { values } = await testReward(httpReward({ ...quick, url: server.origin }), prompts);
    expect(values).toEqual(good.values);
    expect(server.requests).toHaveLength(3);
    expect(new Set(server.requests.map(({ body }) => JSON.stringify(body))).size).toBe(1);
  });

  it("that stays so is an error with the status, the tries and the place, without the query of the address", async () => {
    const { error, requests } = await failureWith(raw("out  of\nmemory", 503), { retries: 1 });
    expect(requests).toBe(2);
    expect(error).toMatchObject({ name: "RewardError", code: "REWARD_HTTP_STATUS" });
    expect(error.message).toMatch(
      /^the reward "remote" failed in each of 2 tries, at last: http:\/\/127.0.0.1:\d+\/score answered with status 503: out of memory \(step 5\)\.$/,
    );
    expect(error.fields).toMatchObject({ reward: "remote", step: 5, status: 503 });
    expect(error.message).not.toContain("hidden");
  });

  it.each([400, 401, 404, 422, 429, 302])("is not asked again after %i", async (status) => {
    const { error, requests } = await failureWith(raw("no", status));
    expect([error.code, error.fields["status"], requests]).toEqual(["REWARD_HTTP_STATUS", status, 1]);
  });

  it("that nobody listens to is named, with the system's reason", async () => {
    const server = await startServer(raw(""));
    await server[Symbol.asyncDispose]();
    const reward = httpReward({ ...quick, url: server.origin, retries: 1 });
    await expect(testReward(reward, prompts)).rejects.toMatchObject({
      code: "REWARD_HTTP_CONNECTION",
      message: expect.stringMatching(/no answer from http:\/\/127.*ECONNREFUSED/) as string,
    });
  });

  it("that is slow is given up after timeoutMs, every time", async () => {
    // Long enough for a request to reach the server on a busy machine: one that is given up before is not counted there.
    const { error, requests } = await failureWith(() => undefined, { timeoutMs: 1000, retries: 1 });
    expect([error.code, requests]).toEqual(["REWARD_TIMEOUT", 2]);
    expect(error.message).toContain("gave no answer within 1 s in each of 2 tries");
  });

  it("that begins to answer and stops is given up as well", async () => {
    const half: Answer = (_, response) => void response.writeHead(200).write('{"values":');
    const { error } = await failureWith(half, { timeoutMs: 30, retries: 0 });
    expect(error.code).toBe("REWARD_TIMEOUT");
  });

  it("is left alone once the run is given up", async () => {
    const controller = new AbortController();
    await using server = await startServer(() => controller.abort(new Error("enough")));
    const reward = httpReward({ ...quick, url: server.origin, retries: 5 });
    await expect(testReward(reward, prompts, { signal: controller.signal })).rejects.toThrow("enough");
    expect(server.requests).toHaveLength(1);
  });
});

describe("an answer that cannot be used", () => {
  it.each([
    ["no JSON", raw("<html>"), "REWARD_HTTP_RESPONSE", /something that is no JSON: <html>/],
    ["JSON with NaN, as Python writes it", raw('{"values": [[NaN, 1], [1]]}'), "REWARD_HTTP_RESPONSE", /no JSON/],
    ["an infinity", raw('{"values": [[1e999, 1], [1]]}'), "REWARD_HTTP_RESPONSE", /values\.0\.0/],
    ["a text for a number", raw('{"values": [["1", 1], [1]]}'), "REWARD_HTTP_RESPONSE", /values\.0\.0/],
    ["another form", raw("[1, 2, 3]"), "REWARD_HTTP_RESPONSE", /in another form than/],
    ["nothing", raw(""), "REWARD_HTTP_RESPONSE", /an empty body/],
    ["too few prompts", raw('{"values": [[1, 1]]}'), "REWARD_HTTP_RESPONSE", /values for 1 prompts.*asked about 2/],
    ["too few values", raw('{"values": [[1], [1]]}'), "REWARD_SHAPE", /a list of 1.*2 completions \(step 5, row a\)/],
  ])("because it is %s is refused after one try", async (_, answer, code, wording) => {
    const { error, requests } = await failureWith(answer);
    expect([error.code, requests]).toEqual([code, 1]);
    expect(error.message).toMatch(wording);
    expect(error.message).toContain('the reward "remote"');
  });

  it("because it has no end is not read to its end", async () => {
    const endless: Answer = (_, response) => {
      response.writeHead(200);
      const pour = (): void => {
        if (!response.destroyed && response.write("x".repeat(1000))) setImmediate(pour);
      };
      response.on("drain", pour);
      pour();
    };
    const { error, requests } = await failureWith(endless, { maxResponseBytes: 5000 });
    expect([error.code, requests]).toEqual(["REWARD_HTTP_SIZE", 1]);
  });
});

describe("what is sent", () => {
  afterEach(() => vi.unstubAllEnvs());

  it("has headers as they stand and from the environment", async () => {
    vi.stubEnv("SCORER_TOKEN", "abc");
    await using server = await startServer((_, response) => sendJson(response, good));
    const headers = { authorization: { env: "SCORER_TOKEN", prefix: "Bearer " }, "x-team": "iqa" };
    await testReward(httpReward({ ...quick, url: server.origin, headers }), prompts);
    expect(server.requests[0]!.headers).toMatchObject({ authorization: "Bearer abc", "x-team": "iqa" });
  });

  it("needs its variables to be set, and says nothing of their content", () => {
    const url = "http://localhost";
    expect(() => httpReward({ ...quick, url, headers: { authorization: { env: "NOT_SET_ANYWHERE" } } })).toThrow(
      expect.objectContaining({
        code: "CONFIG_REWARD_HEADER",
        message: expect.stringContaining("NOT_SET_ANYWHERE") as string,
      }),
    );
    vi.stubEnv("BROKEN_TOKEN", "se\ncret");
    const broken = (): unknown => httpReward({ ...quick, url, headers: { authorization: { env: "BROKEN_TOKEN" } } });
    expect(broken).toThrow(expect.objectContaining({ code: "CONFIG_REWARD_HEADER" }));
    expect(broken).not.toThrow(/cret/);
  });

  it("is not sent when it is too large", async () => {
    const { error, requests } = await failureWith(raw("{}"), { maxRequestBytes: 10 });
    expect([error.code, requests]).toEqual(["REWARD_HTTP_SIZE", 0]);
  });

  it.each(["nonsense", "file:///etc/passwd", "http://user:word@localhost"])("does not go to %s", (url) => {
    expect(() => httpReward({ ...quick, url })).toThrow(expect.objectContaining({ code: "CONFIG_REWARD_URL" }));
    expect(() => httpReward({ ...quick, url })).not.toThrow(/word@/);
  });

  it("does not wait longer than a request can", () => {
    expect(() => httpReward({ ...quick, url: "http://localhost", timeoutMs: 300_001 })).toThrow(
      expect.objectContaining({ name: "ConfigError", code: "CONFIG_REWARD_CALLS" }),
    );
  });
});
