import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { WorkerError } from "../../src/errors.js";
import { codeOf, form, paths } from "./client.js";
import type { Asked } from "./client.js";
import { failingMetric, PICTURE, serve, slowMetric, until, valueOf } from "./serving.js";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "thurstone-serve-"));
  await writeFile(join(folder, "a.png"), PICTURE);
});
afterAll(() => rm(folder, { recursive: true, force: true }));

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
    const { score, say, failures } = await serve(
      {},
      failingMetric(new WorkerError("OUT_OF_MEMORY", "at /secret/path")),
    );
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
    const { score, say, lost } = await serve({}, failingMetric(error));
    const said = await score(form([["1", PICTURE]]));
    expect([said.status, codeOf(said.text)]).toEqual([500, "SERVE_FAILED"]);
    expect(await lost).toBe(error);
    expect((await say("/readyz")).status).toBe(500);
    expect((await say("/healthz")).status).toBe(200);
  });
});
