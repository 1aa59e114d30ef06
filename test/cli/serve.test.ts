import { readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { resolve } from "node:path";
import { describe, expect, it } from "vitest";
import { runServeCommand } from "../../src/cli/serve.js";
import type { ServeSurroundings } from "../../src/cli/serve.js";
import { WorkerError } from "../../src/errors.js";
import { createFakeWorker } from "../../src/testing/index.js";
import { ask, form } from "../serve/client.js";
import { commandIo } from "./outputs.js";

const PICTURE = readFileSync(resolve(import.meta.dirname, "../golden/decode/rgb.png"));

interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** Runs until it is stopped by what is done with its first line. */
async function run(
  args: readonly string[],
  {
    env = {},
    use = async () => undefined,
    connect = createFakeWorker({ complete: () => "<answer>3.00</answer>" }).connect,
  }: {
    env?: Readonly<Record<string, string>>;
    use?: (line: string) => Promise<unknown>;
    connect?: NonNullable<ServeSurroundings["connect"]>;
  } = {},
): Promise<Ran> {
  const io = commandIo(tmpdir(), env);
  const stop = new AbortController();
  const stdout = {
    ...io.stdout,
    write(text: string) {
      io.stdout.write(text);
      void use(text).then(() => stop.abort());
    },
  };
  const given = ["--model", "m", "--mode", "fast", "--port", "0", "--image-cache", "1000000", ...args];
  const code = await runServeCommand(given, { ...io, stdout }, { connect, signal: stop.signal });
  return { code, out: io.stdout.text(), err: io.stderr.text() };
}
const listening = (line: string): { url: string; port: number; token?: string } =>
  JSON.parse(line) as { url: string; port: number; token?: string };

describe("thurstone serve", () => {
  it("says where it listens, for people and for programs, and ends with 0 when it is stopped", async () => {
    const text = await run([]);
    expect(text).toMatchObject({ code: 0, err: "m is being loaded\nstopping\n" });
    expect(text.out).toMatch(/^m rates pictures at http:\/\/127\.0\.0\.1:\d+\/v1\/score\n$/);

    let status = 0;
    const { code, out } = await run(["--json", "--batch", "4"], {
      use: async (line) => {
        status = (await ask({ url: `${listening(line).url}/readyz` })).status;
      },
    });
    expect([code, status]).toEqual([0, 200]);
    const { url, port, ...rest } = listening(out);
    expect(url).toBe(`http://127.0.0.1:${port}`);
    expect(rest).toEqual({ event: "listening", model: "m" });
  });

  it("takes its token from the flag, the environment, or makes one and prints it", async () => {
    const token = "from-somewhere-0123456789";
    const statuses: number[] = [];
    const askWith = (authorization: string) => async (line: string) => {
      statuses.push((await ask({ url: `${listening(line).url}/v1/model`, headers: { authorization } })).status);
    };
    const open = ["--json", "--host", "0.0.0.0"];
    const given = await run([...open, "--token", token], { use: askWith(`Bearer ${token}`) });
    await run(open, { env: { THURSTONE_TOKEN: token }, use: askWith(`Bearer ${token}`) });
    await run(open, { env: { THURSTONE_TOKEN: token }, use: askWith("Bearer from-somewhere-else-0123") });
    await run([...open, "--generate-token"], { use: (line) => askWith(`Bearer ${listening(line).token}`)(line) });
    expect(statuses).toEqual([200, 200, 401, 200]);
    expect(given.out + given.err).not.toContain(token);
    expect((await run(["--generate-token"])).out).toMatch(/^token: [\w-]{32}$/m);
  });

  it("refuses an address that others reach without a token, before it loads anything", async () => {
    await expect(run(["--host", "0.0.0.0"])).rejects.toMatchObject({ code: "SERVE_TOKEN" });
  });

  it.each([
    [["--port", "70000"], "the last one is 65535"],
    [["--token", "0123456789abcdef", "--generate-token"], "leave one out"],
    [["--seed", "1"], "give --samples as well"],
    [["--max-body", "0"], "above 0"],
  ])("calls %j wrong usage", async (args, message) => {
    const io = commandIo(tmpdir());
    const { connect } = createFakeWorker();
    const run = runServeCommand(["--model", "m", "--mode", "fast", ...args], io, {
      connect,
      signal: new AbortController().signal,
    });
    await expect(run).rejects.toMatchObject({ exitCode: 1 });
    expect(io.stderr.text()).toContain(message);
  });

  it("refuses a picture cache in which two batches of the largest pictures find no room", async () => {
    await expect(run(["--image-cache", "1", "--batch", "64"])).rejects.toMatchObject({ code: "SERVE_LIMITS" });
  });

  it("ends with 0 when it is stopped while the model is loaded", async () => {
    const stop = new AbortController();
    const io = commandIo(tmpdir());
    const code = await runServeCommand(["--model", "m", "--port", "0"], io, {
      signal: stop.signal,
      connect: () => {
        stop.abort();
        return createFakeWorker().connect();
      },
    });
    expect([code, io.stdout.text()]).toEqual([0, ""]);
  });

  it("fails when the model is lost, after everybody got an answer", async () => {
    const answers: Promise<{ readonly status: number }>[] = [];
    const ran = run(["--json"], {
      connect: createFakeWorker({
        complete: () => {
          throw new WorkerError("WORKER_DIED", "the worker ended with signal SIGKILL.");
        },
      }).connect,
      use: async (line) => {
        answers.push(ask({ url: `${listening(line).url}/v1/score`, ...form([["a", PICTURE]]) }));
        await new Promise(() => undefined);
      },
    });
    await expect(ran).rejects.toMatchObject({ code: "WORKER_DIED" });
    expect(await Promise.all(answers)).toMatchObject([{ status: 500 }]);
  });
});
