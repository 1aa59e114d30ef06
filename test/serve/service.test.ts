import { tmpdir } from "node:os";
import { describe, expect, it } from "vitest";
import { DEFAULT_LIMITS } from "../../src/serve/index.js";
import type { ServiceOptions } from "../../src/serve/index.js";
import { ask, codeOf, form, talk } from "./client.js";
import { metric, PICTURE, serve, slowMetric, until, valueOf } from "./serving.js";

describe("other paths", () => {
  it("describe the model, its scores and the limits", async () => {
    const { say } = await serve({ root: tmpdir() });
    for (const path of ["/", "/v1/model"]) {
      expect(JSON.parse((await say(path)).text)).toEqual({
        model: "m",
        mode: "greedy",
        scoreRange: [1, 5],
        lowerBetter: false,
        family: "fake",
        device: metric.model.device,
        dtype: metric.model.dtype,
        paths: true,
        limits: DEFAULT_LIMITS,
      });
    }
  });

  it.each([
    ["/nothing", "GET", 404, "SERVE_NOT_FOUND"],
    ["/v1/score?samples=6", "POST", 404, "SERVE_NOT_FOUND"],
    ["/v1/score", "GET", 405, "SERVE_METHOD"],
    ["/v1/model", "POST", 405, "SERVE_METHOD"],
    ["/healthz", "DELETE", 405, "SERVE_METHOD"],
  ])("%s %s is refused", async (path, method, status, code) => {
    const said = await (await serve()).say(path, { method });
    expect([said.status, codeOf(said.text)]).toEqual([status, code]);
    if (status === 405) expect(said.headers["allow"]).toBe(path === "/v1/score" ? "POST" : "GET");
  });

  it("ask for the token, but for those of a supervisor", async () => {
    const token = "0123456789abcdef";
    const { say } = await serve({ token });
    const headers = { authorization: `Bearer ${token}` };
    for (const path of ["/", "/v1/model", "/v1/score", "/metrics", "/nothing"]) {
      const said = await say(path, { headers: { authorization: "Bearer 0123456789abcdeg" } });
      expect([path, said.status, codeOf(said.text)]).toEqual([path, 401, "SERVE_TOKEN"]);
      expect(said.headers["www-authenticate"]).toContain("Bearer");
    }
    for (const path of ["/healthz", "/readyz"]) expect((await say(path)).status).toBe(200);
    expect((await say("/v1/model", { headers: { ...headers, host: "meter.example" } })).status).toBe(200);
    expect((await say("/v1/score", { ...form([["a", PICTURE]]), headers })).status).toBe(415);
  });

  it("say that the model is being loaded", async () => {
    const { say, score, open } = await serve({}, null);
    expect((await say("/healthz")).status).toBe(200);
    for (const said of [await say("/readyz"), await say("/v1/model"), await score(form([["a", PICTURE]]))]) {
      expect([said.status, codeOf(said.text)]).toEqual([503, "SERVE_LOADING"]);
    }
    open(metric);
    expect((await say("/readyz")).status).toBe(200);
  });

  it("count, in Prometheus's format", async () => {
    const { say, score } = await serve({ limits: { batch: 2 } });
    await score(
      form([
        ["a", PICTURE],
        ["b", "broken"],
        ["c", PICTURE],
      ]),
    );
    await say("/nothing");
    const { text, headers } = await say("/metrics");
    expect(headers["content-type"]).toBe("text/plain; version=0.0.4; charset=utf-8");
    expect(text).toContain("# TYPE thurstone_requests_total counter\n");
    const expected = {
      'thurstone_requests_total{route="/v1/score",status="200"}': 1,
      'thurstone_requests_total{route="other",status="404"}': 1,
      'thurstone_pictures_total{code="ok"}': 2,
      'thurstone_pictures_total{code="DATA_IMAGE_BROKEN"}': 1,
      thurstone_batch_pictures_count: 2,
      thurstone_batch_pictures_sum: 3,
      'thurstone_request_seconds_count{route="/v1/score"}': 1,
      thurstone_ready: 1,
      thurstone_waiting_pictures: 0,
      thurstone_running_pictures: 0,
      thurstone_held_bytes: 0,
    };
    expect(Object.fromEntries(Object.keys(expected).map((name) => [name, valueOf(text, name)]))).toEqual(expected);
    expect(valueOf(text, "process_resident_memory_bytes")).toBeGreaterThan(10_000_000);
    for (const line of text.split("\n").filter((one) => one !== "")) {
      expect(line).toMatch(/^(# (HELP|TYPE) \w+ .+|\w+(\{(\w+="[^"]*",?)+\})? [-+.\dea-zA-Z]+)$/);
    }
  });
});

describe("an end", () => {
  it("answers what is under way, and takes no more", async () => {
    const { metric: slow, asked } = slowMetric();
    const { score, say, stop, url } = await serve({}, slow);
    const first = score(form([["1", PICTURE]]));
    await until(() => asked.length === 1);
    const stopped = stop(60_000);
    await expect(say("/healthz")).rejects.toMatchObject({ code: "ECONNREFUSED" });
    asked[0]!.go();
    const { status, headers } = await first;
    expect([status, headers["connection"]]).toEqual([200, "close"]);
    await stopped;
    await expect(ask({ url })).rejects.toMatchObject({ code: "ECONNREFUSED" });
  });

  it("ends what takes longer than its grace with an answer, and does not wait for connections without a request", async () => {
    const { metric: slow, asked } = slowMetric();
    const { score, stop, port } = await serve({}, slow);
    const silent = talk(port);
    const first = score(form([["1", PICTURE]]));
    await until(() => asked.length === 1);
    await stop(20);
    const { status, text } = await first;
    expect([status, codeOf(text)]).toEqual([503, "SERVE_STOPPING"]);
    expect(await silent).toBe("");
  });
});

describe("a start", () => {
  it.each<[string, Partial<ServiceOptions>, string]>([
    ["an address that others reach and no token", { host: "0.0.0.0" }, "SERVE_TOKEN"],
    ["a short token", { token: "short" }, "SERVE_TOKEN"],
    ["a root that is none", { root: "/none" }, "SERVE_ROOT"],
    ["limits that contradict", { limits: { ...DEFAULT_LIMITS, maxWaiting: 1 } }, "SERVE_LIMITS"],
    ["an address of another machine", { host: "192.0.2.1", token: "0123456789abcdef" }, "SERVE_LISTEN"],
    ["a name without an address", { host: "none.invalid" }, "SERVE_LISTEN"],
  ])("is refused with %s", async (_, options, code) => {
    const { limits = DEFAULT_LIMITS, ...rest } = options;
    await expect(serve({ limits, ...rest })).rejects.toMatchObject({ code });
  });

  it("says when the port is taken", async () => {
    const { port } = await serve();
    await expect(serve({ port })).rejects.toMatchObject({
      code: "SERVE_LISTEN",
      message: expect.stringContaining("Another program listens there") as string,
    });
  });
});
