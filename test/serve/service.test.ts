import { readFileSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { setTimeout as turn } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { WorkerError } from "../../src/errors.js";
import { DEFAULT_LIMITS, startService } from "../../src/serve/index.js";
import type { Service, ServiceOptions } from "../../src/serve/index.js";
import { createFakeWorker } from "../../src/testing/index.js";
import { createMetric } from "../../src/trainer/index.js";
import type { Metric, Rating } from "../../src/trainer/index.js";
import { ask, codeOf, form, paths, talk } from "./client.js";
import type { Asked, Said } from "./client.js";

const PICTURE = readFileSync(resolve(import.meta.dirname, "../golden/decode/rgb.png"));

let metric: Metric;
let folder: string;
beforeAll(async () => {
  const { connect: worker } = createFakeWorker({ complete: () => "<answer>3.25</answer>" });
  metric = await createMetric({ model: "fake", mode: "greedy", connect: worker });
  folder = await mkdtemp(join(tmpdir(), "thurstone-serve-"));
  await writeFile(join(folder, "a.png"), PICTURE);
});
afterAll(async () => {
  await metric.close();
  await rm(folder, { recursive: true, force: true });
});

const services: Service[] = [];
afterEach(async () => {
  for (const service of services.splice(0)) await service.stop(0);
});

interface Serving extends Service {
  readonly say: (path: string, asked?: Omit<Asked, "url">) => Promise<Said>;
  readonly score: (asked: Omit<Asked, "url">) => Promise<Said>;
  readonly failures: unknown[];
}

async function serve(
  { limits, ...options }: Partial<Omit<ServiceOptions, "limits">> & { limits?: Partial<ServiceOptions["limits"]> } = {},
  model: Metric | null = metric,
): Promise<Serving> {
  const failures: unknown[] = [];
  const service = await startService({
    model: "m",
    host: "127.0.0.1",
    port: 0,
    token: null,
    root: null,
    limits: { ...DEFAULT_LIMITS, ...limits },
    onFailure: (error) => failures.push(error),
    ...options,
  });
  services.push(service);
  if (model !== null) service.open(model);
  const say: Serving["say"] = (path, asked = {}) => ask({ url: service.url + path, ...asked });
  return { ...service, say, score: (asked) => say("/v1/score", asked), failures };
}

/** A metric whose ratings come when it is told to. */
function slowMetric(): { readonly metric: Metric; readonly asked: { go: () => void; signal: AbortSignal }[] } {
  const asked: { go: () => void; signal: AbortSignal }[] = [];
  async function* score(inputs: Parameters<Metric["score"]>[0], { signal }: { signal?: AbortSignal } = {}) {
    await new Promise<void>((go, fail) => {
      asked.push({ go, signal: signal! });
      signal!.addEventListener("abort", () => fail(signal!.reason as Error));
    });
    for await (const _ of inputs) yield { id: "", score: 3, std: null, scores: [], status: "ok" } satisfies Rating;
  }
  return { metric: { ...metric, score }, asked };
}
const until = async (condition: () => boolean): Promise<void> => {
  while (!condition()) await turn(5);
};
const valueOf = (text: string, series: string): number => {
  const line = text.split("\n").find((one) => one.startsWith(`${series} `));
  return line === undefined ? 0 : Number(line.slice(series.length + 1));
};
const record = (path: string) => ({
  path,
  model: "m",
  score: 3.25,
  std: null,
  scores: [3.25],
  status: "ok",
  text: "<answer>3.25</answer>",
});

describe("POST /v1/score", () => {
  it("answers with a record per picture, in order; a broken one is a record with a code", async () => {
    const { score } = await serve();
    const { status, headers, text } = await score(
      form([
        ["a b.png", PICTURE],
        ["broken.png", "no picture"],
        ["", ""],
      ]),
    );
    expect(status).toBe(200);
    expect(headers["content-type"]).toBe("application/json");
    const { ratings } = JSON.parse(text) as { ratings: Record<string, unknown>[] };
    expect(ratings[0]).toEqual(record("a b.png"));
    expect(ratings[1]).toMatchObject({ path: "broken.png", model: "m", score: null, code: "DATA_IMAGE_BROKEN" });
    expect(ratings[2]).toMatchObject({ score: null, code: "DATA_IMAGE_BROKEN" });
    expect(ratings).toHaveLength(3);
  });

  it("takes paths under the root; one without a file is a record with a code", async () => {
    const { score } = await serve({ root: folder });
    const one = await score(paths({ path: "a.png" }));
    expect(JSON.parse(one.text)).toEqual({ ratings: [record("a.png")] });
    const several = await score(paths({ paths: ["none.png", join(folder, "a.png"), "a.png"] }));
    expect(JSON.parse(several.text)).toMatchObject({
      ratings: [
        { path: "none.png", model: "m", score: null, status: "failed", code: "DATA_IMAGE_MISSING" },
        record(join(folder, "a.png")),
        record("a.png"),
      ],
    });
    const none = await score(paths({ path: "none.png" }));
    expect([none.status, (JSON.parse(none.text) as { ratings: unknown[] }).ratings.length]).toEqual([200, 1]);
  });

  it.each<[string, number, string, () => Omit<Asked, "url">]>([
    ["a path that leaves the root", 403, "SERVE_OUTSIDE", () => paths({ path: "../x.png" })],
    ["no path", 400, "SERVE_JSON", () => paths({})],
    ["path and paths", 400, "SERVE_JSON", () => paths({ path: "a.png", paths: ["a.png"] })],
    ["another key", 400, "SERVE_JSON", () => paths({ path: "a.png", samples: 3 })],
    ["paths that are none", 400, "SERVE_JSON", () => paths({ paths: [1] })],
    ["no JSON", 400, "SERVE_JSON", () => ({ ...paths({}), body: "{" })],
    ["no UTF-8", 400, "SERVE_JSON", () => ({ ...paths({}), body: Uint8Array.of(34, 255, 34) })],
    ["too many paths", 413, "SERVE_TOO_MANY", () => paths({ paths: ["a.png", "a.png", "a.png", "a.png"] })],
    ["files that are too large", 413, "SERVE_TOO_LARGE", () => paths({ paths: ["large.png"] })],
    ["too many pictures", 413, "SERVE_TOO_MANY", () => form(["a", "b", "c", "d"].map((name) => [name, PICTURE]))],
    ["a body that says it is too large", 413, "SERVE_TOO_LARGE", () => form([["a.png", new Uint8Array(20_000)]])],
    [
      "a body that is too large",
      413,
      "SERVE_TOO_LARGE",
      () => {
        const { headers, ...rest } = form([["a.png", new Uint8Array(20_000)]]);
        return { ...rest, headers: { ...headers, "transfer-encoding": "chunked" } };
      },
    ],
    ["a form without an end", 400, "SERVE_MULTIPART", () => ({ ...form([["a", "b"]]), body: "------thurstone\r\n" })],
    ["no form", 415, "SERVE_TYPE", () => ({ method: "POST", body: PICTURE, headers: { "content-type": "image/png" } })],
    ["no type", 415, "SERVE_TYPE", () => ({ method: "POST", body: PICTURE })],
    [
      "a compressed form",
      415,
      "SERVE_TYPE",
      () => ({ ...form([["a", "b"]]), headers: { ...form([]).headers, "content-encoding": "gzip" } }),
    ],
    [
      "a name that is not this machine's",
      403,
      "SERVE_HOST",
      () => ({ ...form([]), headers: { host: "evil.example" } }),
    ],
  ])("refuses %s", async (_, status, code, asked) => {
    await writeFile(join(folder, "large.png"), new Uint8Array(20_000));
    const { score, failures } = await serve({ root: folder, limits: { maxPictures: 3, maxBodyBytes: 10_000 } });
    const said = await score(asked());
    expect([said.status, codeOf(said.text)]).toEqual([status, code]);
    expect(failures).toEqual([]);
    expect((await score(form([["a.png", PICTURE]]))).status).toBe(200);
  });

  it("reads no files without a root", async () => {
    const { score } = await serve();
    expect(codeOf((await score(paths({ path: "a.png" }))).text)).toBe("SERVE_NO_ROOT");
  });

  it("refuses at once, with a time to come again, when too many pictures wait", async () => {
    const { metric: slow, asked } = slowMetric();
    const { score, say } = await serve({ limits: { batch: 1, maxWaiting: 2, maxPictures: 2 } }, slow);
    const first = [score(form([["1", PICTURE]])), score(form([["2", PICTURE]]))];
    await until(() => asked.length === 2);
    first.push(
      score(
        form([
          ["3", PICTURE],
          ["4", PICTURE],
        ]),
      ),
    );
    while (valueOf((await say("/metrics")).text, "thurstone_waiting_pictures") !== 2);
    const refused = await score(form([["5", PICTURE]]));
    expect([refused.status, codeOf(refused.text)]).toEqual([503, "SERVE_BUSY"]);
    expect(Number(refused.headers["retry-after"])).toBeGreaterThanOrEqual(1);
    for (let batch = 0; batch < 4; batch += 1) {
      await until(() => asked.length > batch);
      asked[batch]!.go();
    }
    expect((await Promise.all(first)).map(({ status }) => status)).toEqual([200, 200, 200]);
  });

  it("refuses what all requests together may not hold", async () => {
    const { metric: slow, asked } = slowMetric();
    const large = form([["a", new Uint8Array(6000)]]);
    const { score } = await serve({ limits: { maxBodyBytes: 10_000, maxHeldBytes: 10_000 } }, slow);
    const first = score(large);
    await until(() => asked.length === 1);
    const refused = await score(large);
    expect([refused.status, codeOf(refused.text)]).toEqual([503, "SERVE_BUSY"]);
    asked[0]!.go();
    expect((await first).status).toBe(200);
    const again = score(large);
    await until(() => asked.length === 2);
    asked[1]!.go();
    expect((await again).status).toBe(200);
  });

  it("stops working for a client that has gone, and not for others", async () => {
    const { metric: slow, asked } = slowMetric();
    const { score, say } = await serve({ limits: { batch: 1 } }, slow);
    const left = new AbortController();
    const gone = score({ ...form([["1", PICTURE]]), signal: left.signal }).catch((error: Error) => error.name);
    await until(() => asked.length === 1);
    const stays = score(form([["2", PICTURE]]));
    await until(() => asked.length === 2);
    left.abort();
    expect(await gone).toBe("AbortError");
    await until(() => asked[0]!.signal.aborted);
    expect(asked[1]!.signal.aborted).toBe(false);
    asked[1]!.go();
    expect((await stays).status).toBe(200);
    const { text } = await say("/metrics");
    expect(valueOf(text, 'thurstone_requests_total{route="/v1/score",status="gone"}')).toBe(1);
    expect(valueOf(text, "thurstone_held_bytes")).toBe(0);
  });

  it("answers a batch that failed with an error, without its details, and goes on", async () => {
    const broken: Metric = {
      ...metric,
      score: async function* () {
        yield* await Promise.reject<Rating[]>(new WorkerError("OUT_OF_MEMORY", "at /secret/path"));
      },
    };
    const { score, say, failures } = await serve({}, broken);
    const said = await score(
      form([
        ["1", PICTURE],
        ["2", PICTURE],
      ]),
    );
    expect([said.status, codeOf(said.text)]).toEqual([500, "SERVE_FAILED"]);
    expect(said.text).not.toContain("secret");
    expect(failures).toMatchObject([{ code: "OUT_OF_MEMORY" }]);
    expect((await say("/readyz")).status).toBe(200);
  });

  it("tells that the model is lost, and is ready no more", async () => {
    const error = new WorkerError("WORKER_DIED", "the worker ended with signal SIGKILL");
    const dead: Metric = {
      ...metric,
      score: async function* () {
        yield* await Promise.reject<Rating[]>(error);
      },
    };
    const { score, say, lost } = await serve({}, dead);
    const said = await score(form([["1", PICTURE]]));
    expect([said.status, codeOf(said.text)]).toEqual([500, "SERVE_FAILED"]);
    expect(await lost).toBe(error);
    expect((await say("/readyz")).status).toBe(500);
    expect((await say("/healthz")).status).toBe(200);
  });
});

describe("a connection", () => {
  const limits = { headerTimeout: 100, requestTimeout: 300 };
  const begin = "POST /v1/score HTTP/1.1\r\nHost: localhost\r\n";
  const bodyOf = (said: string): string => said.slice(said.lastIndexOf("\r\n\r\n") + 4);

  it.each([
    ["no headers", ""],
    ["half of its headers", begin],
    ["no body", `${begin}Content-Type: multipart/form-data; boundary=x\r\nContent-Length: 100\r\n\r\n`],
    ["half of its body", `${begin}Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{"path"`],
  ])("that sends %s in time gets 408", async (_, said) => {
    const { port, say } = await serve({ limits, root: folder });
    const answer = await talk(port, said);
    expect(answer).toMatch(/^HTTP\/1\.1 408 Request Timeout\r\n/);
    expect(answer.match(/HTTP\/1\.1/g)).toHaveLength(1);
    expect(codeOf(bodyOf(answer))).toBe("SERVE_SLOW");
    const { text } = await say("/metrics");
    const counted = text.split("\n").filter((line) => /^thurstone_requests_total.*status="408"/.test(line));
    expect(counted.map((line) => line.split(" ").at(-1))).toEqual(["1"]);
    expect(text).not.toContain('status="gone"');
  });

  it("that was refused and goes on sending is cut, with one answer", async () => {
    const { port } = await serve({ limits });
    const answer = await talk(port, `${begin}Content-Type: image/png\r\nContent-Length: 100\r\n\r\nhalf`);
    expect(answer.match(/HTTP\/1\.1 \d+/g)).toEqual(["HTTP/1.1 415"]);
  });

  it.each([
    ["no HTTP", "hello\r\n\r\n", 400, "SERVE_REQUEST"],
    ["two lengths", `${begin}Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`, 400, "SERVE_REQUEST"],
    ["long headers", `${begin}X: ${"x".repeat(20_000)}\r\n\r\n`, 431, "SERVE_HEADERS"],
    ["no host", "GET /v1/model HTTP/1.1\r\nConnection: close\r\n\r\n", 403, "SERVE_HOST"],
  ])("with %s is answered", async (_, said, status, code) => {
    const { port } = await serve();
    const answer = await talk(port, said);
    expect(answer).toContain(`HTTP/1.1 ${status} `);
    expect(codeOf(bodyOf(answer))).toBe(code);
  });

  it("that asks first is let in or refused before it sends its body", async () => {
    const { port } = await serve({ limits: { maxBodyBytes: 1000 } });
    const head = (length: number): string =>
      `${begin}Content-Type: ${form([]).headers["content-type"]}\r\nContent-Length: ${length}\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n`;
    const refused = await talk(port, head(1001));
    expect(refused.match(/HTTP\/1\.1 \d+/g)).toEqual(["HTTP/1.1 413"]);
    const { body } = form([["a.png", PICTURE]]);
    const let_in = await new Promise<string>((done, fail) => {
      let said = "";
      const socket = connect(port, "127.0.0.1", () => socket.write(head(body.length)));
      socket.setEncoding("utf8").on("data", (text: string) => {
        if (said === "") socket.write(body);
        said += text;
      });
      socket.on("error", fail).on("close", () => done(said));
    });
    expect(let_in.match(/HTTP\/1\.1 \d+/g)).toEqual(["HTTP/1.1 100", "HTTP/1.1 200"]);
  });
});

describe("other paths", () => {
  it("describe the model, its scores and the limits", async () => {
    const { say } = await serve({ root: folder });
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
