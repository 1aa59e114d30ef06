/** One picture, one rating: command line, API and HTTP, through one real worker. And many clients at once. */
import { copyFile, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { runScoreCommand } from "../../src/cli/score.js";
import { runServeCommand } from "../../src/cli/serve.js";
import { createMetric } from "../../src/trainer/index.js";
import { commandIo } from "../cli/outputs.js";
import { ask, form, paths } from "../serve/client.js";
import { startSharedWorker } from "./shared-worker.js";
import type { SharedWorker } from "./shared-worker.js";

const ASSETS = resolve(import.meta.dirname, "../../assets");
const NAMES = ["camera.jpg", "chelsea.jpg", "coffee.jpg", "rocket.jpg", "broken.jpg"];
const MODEL = ["--model", "rated", "--device", "cpu", "--threads", "1"];

let folder: string;
let worker: SharedWorker;
const stop = new AbortController();
let served: Promise<number>;
let url: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "thurstone-serve-"));
  for (const name of NAMES.slice(0, 4)) await copyFile(join(ASSETS, "photos", name), join(folder, name));
  await writeFile(join(folder, "broken.jpg"), (await readFile(join(folder, "camera.jpg"))).subarray(0, 5000));
  worker = await startSharedWorker({
    model_name_or_path: join(ASSETS, "rated"),
    data_file_paths: "none.jsonl",
    image_folders: ".",
  });
  url = await new Promise<string>((done, fail) => {
    const io = commandIo(folder);
    const stdout = { ...io.stdout, write: (line: string) => done((JSON.parse(line) as { url: string }).url) };
    const args = [...MODEL, "--port", "0", "--root", ".", "--json", "--max-waiting", "64"];
    served = runServeCommand(args, { ...io, stdout }, { connect: worker.connect, signal: stop.signal });
    served.catch(fail);
  });
});
afterAll(async () => {
  await worker.stop();
  await rm(folder, { recursive: true, force: true });
});

/** Lines of `score --out scores.jsonl`. */
async function byCommandLine(): Promise<string[]> {
  const io = commandIo(folder);
  await runScoreCommand([...NAMES, ...MODEL, "--out", "scores.jsonl", "--overwrite"], io, { connect: worker.connect });
  return (await readFile(join(folder, "scores.jsonl"), "utf8")).trimEnd().split("\n");
}
const linesOf = (text: string): string[] =>
  (JSON.parse(text) as { ratings: unknown[] }).ratings.map((one) => JSON.stringify(one));
/** The reason names a file by its path, and uploaded bytes have none. */
const nameless = (line: string): string => line.replaceAll(`\\"${join(folder, "broken.jpg")}\\"`, "the picture");

it("rates a picture the same to the last bit by command line, API, upload and path", async () => {
  const expected = await byCommandLine();
  expect(expected).toHaveLength(5);

  await using metric = await createMetric({
    model: join(ASSETS, "rated"),
    question: "Rate the quality of this image from 1 to 5.",
    questionTemplate: "{Question}",
    maxPixels: 9408,
    connect: worker.connect,
  });
  const byApi: string[] = [];
  for await (const { id, ...rating } of metric.score(NAMES.map((name) => join(folder, name)))) {
    byApi.push(JSON.stringify({ path: id.slice(folder.length + 1), model: "rated", ...rating }));
  }
  expect(byApi).toEqual(expected);
  expect(byApi.filter((line) => line.includes('"score":null'))).toHaveLength(1);

  const contents = await Promise.all(NAMES.map((name) => readFile(join(folder, name))));
  const uploaded = await ask({
    url: `${url}/v1/score`,
    ...form(NAMES.map((name, index) => [name, contents[index]!] as const)),
  });
  const named = await ask({ url: `${url}/v1/score`, ...paths({ paths: NAMES }) });
  expect(linesOf(uploaded.text)).toEqual(expected.map(nameless));
  expect(linesOf(named.text)).toEqual(expected.map(nameless));
});

/** Without what the decoder says: its library has one text for all that fail at the same time. */
const plain = (text: string): string => text.replace(/"reason":"[^"]*"/, "");

it("gives 64 clients at once what each would get alone, whoever else leaves or is refused", async () => {
  const score = `${url}/v1/score`;
  const alone = new Map<string, string>();
  for (const name of NAMES) alone.set(name, (await ask({ url: score, ...paths({ path: name }) })).text);
  const outcomes = await Promise.all(
    Array.from({ length: 64 }, async (_, client) => {
      const name = NAMES[client % NAMES.length]!;
      if (client % 8 === 1) {
        const left = new AbortController();
        setTimeout(() => left.abort(), client);
        return ask({ url: score, ...paths({ path: name }), signal: left.signal }).then(
          () => "answered first",
          (error: Error) => error.name,
        );
      }
      if (client % 8 === 2) return (await ask({ url: score, ...paths({ path: "../none" }) })).status;
      const { status, text } = await ask({ url: score, ...form([[name, await readFile(join(folder, name))]]) });
      return status === 200 && plain(text) === plain(alone.get(name)!) ? "as alone" : `${status} ${text}`;
    }),
  );
  const fair = outcomes.filter((_, client) => client % 8 !== 1 && client % 8 !== 2);
  expect(fair).toEqual(fair.map(() => "as alone"));
  expect(outcomes.filter((outcome) => outcome === 403)).toHaveLength(8);
});

it("answers what is under way when it is stopped, and ends with 0", async () => {
  const under = ask({ url: `${url}/v1/score`, ...paths({ paths: NAMES }) });
  while (/^thurstone_running_pictures 0$/m.test((await ask({ url: `${url}/metrics` })).text));
  stop.abort();
  expect((await under).status).toBe(200);
  expect(await served).toBe(0);
  await expect(ask({ url: `${url}/healthz` })).rejects.toMatchObject({ code: "ECONNREFUSED" });
});
