import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import { serverReward } from "../../examples/http-reward.js";
import { createJudge } from "../../examples/llm-judge.js";
import { openRun } from "../../src/index.js";
import { testReward } from "../../src/testing/index.js";
import { sendJson, startServer } from "../remote/server.js";
import type { ReceivedRequest } from "../remote/server.js";
import { createDataSet } from "../support/data-set.js";
import type { DataSet } from "../support/data-set.js";
import { runFake } from "../support/fake-run.js";

let set: DataSet;
beforeAll(async () => {
  set = await createDataSet();
});
afterAll(() => set.remove());
afterEach(() => vi.unstubAllEnvs());

/** What a chat endpoint answers. */
const chat = (content: string): unknown => ({
  id: "chatcmpl-1",
  object: "chat.completion",
  choices: [{ index: 0, message: { role: "assistant", content }, finish_reason: "stop" }],
  usage: { prompt_tokens: 1, completion_tokens: 1, total_tokens: 2 },
});
const asked = ({ body }: ReceivedRequest): string =>
  (body as { messages: { role: string; content: string }[] }).messages.find(({ role }) => role === "user")!.content;

describe("the example of a reward over HTTP", () => {
  it("pays in a run what the server says", async () => {
    interface Body {
      readonly groups: readonly { readonly row: object; readonly completions: readonly object[] }[];
    }
    await using server = await startServer(({ body }, response) =>
      sendJson(response, {
        values: (body as Body).groups.map(({ completions }, prompt) => completions.map((_, sample) => prompt + sample)),
      }),
    );
    const config = set.config("server", { max_steps: 2 });
    const reward = serverReward(`${server.origin}/score`);
    await runFake(config, { rewards: { server: reward } });
    expect(server.requests.map(({ body }) => (body as { step: number }).step)).toEqual([1, 2]);
    for (const { row } of (server.requests[0]!.body as Body).groups)
      expect(Object.keys(row).sort()).toEqual(["id", "mos"]);
    const records = await (await openRun(config.output_dir!)).rollouts(2);
    expect(records.map(({ reward: paid }) => paid)).toEqual(
      records.map(({ prompt, sample }) => (prompt as number) + (sample as number)),
    );
  });

  it("is a module that configurations can name", async () => {
    await using server = await startServer((_, response) =>
      sendJson(response, {
        values: [
          [1, 1, 1, 1],
          [2, 2, 2, 2],
        ],
      }),
    );
    vi.stubEnv("SCORER_URL", server.origin);
    const rewards = join(import.meta.dirname, "../../examples/http-reward.ts");
    const config = set.config("module", { max_steps: 1, prompts_per_step: 2, rewards });
    expect((await runFake(config)).result.metrics).toMatchObject({ "rewards/server/mean": 1.5 });
  });
});

describe("the example of a judge", () => {
  it("asks once for each completion and pays a tenth of the score, with the reason recorded", async () => {
    await using server = await startServer((request, response) => {
      const { length } = asked(request);
      sendJson(response, chat(JSON.stringify({ reason: `${length} characters`, score: length })));
    });
    vi.stubEnv("TEST_JUDGE_KEY", "k");
    const judge = createJudge({ url: `${server.origin}/v1/`, model: "m", keyVariable: "TEST_JUDGE_KEY" });
    const tested = await testReward(judge, [{ completions: ["four", "x"] }, { completions: ["1234567890"] }]);
    expect(tested.values).toEqual([[0.4, 0.1], [1]]);
    expect(tested.attachments[1]).toEqual([{ columns: { reason: "10 characters" } }]);
    expect(server.requests.map(({ path }) => path)).toEqual(Array.from({ length: 3 }, () => "/v1/chat/completions"));
    expect(server.requests[0]!.headers.authorization).toBe("Bearer k");
    expect(server.requests[0]!.body).toMatchObject({ model: "m", temperature: 0 });
  });

  it("reads JSON in a code block, and abstains where there is none", async () => {
    const answers = [
      '```json\n{"reason": "fine", "score": 7}\n```',
      "I would say seven.",
      '{"reason": "too much", "score": 70}',
    ];
    await using server = await startServer((request, response) =>
      sendJson(response, chat(answers[Number(asked(request))]!)),
    );
    const judge = createJudge({ url: server.origin, model: "m" });
    const { values } = await testReward(judge, [{ completions: ["0", "1", "2"] }]);
    expect(values).toEqual([[0.7, null, null]]);
  });

  it("asks again when the endpoint is busy, and ends the run by name when the key is wrong", async () => {
    await using server = await startServer((_, response, count) =>
      count === 1 ? sendJson(response, {}, 503) : sendJson(response, { error: "bad key" }, 401),
    );
    const judge = createJudge({ url: server.origin, model: "m" });
    const sleep = async (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 500));
    await expect(testReward(judge, [{ completions: ["0"] }], { step: 4, sleep })).rejects.toMatchObject({
      code: "REWARD_HTTP_STATUS",
      fields: { reward: "judge", step: 4, row: "0", sample: 0, status: 401 },
    });
    expect(server.requests).toHaveLength(2);
  });
});
