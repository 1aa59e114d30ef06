/** Free ports and key files for tests of workers that dial in. */
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { onTestFinished } from "vitest";
import { makeKeys } from "../../src/bridge/index.js";
import { readControlKeys } from "../../src/bridge/curve-keys.js";

/** An address of the loopback with two free ports. */
export async function freeAddress(host = "127.0.0.1"): Promise<string> {
  for (;;) {
    const port = await listen(host, 0);
    if (port !== null && port < 65_535 && (await listen(host, port + 1)) !== null) return `tcp://${host}:${port}`;
  }
}

function listen(host: string, port: number): Promise<number | null> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(null));
    server.listen(port, host, () => {
      const { port: found } = server.address() as { port: number };
      server.close(() => resolve(found));
    });
  });
}

/** A folder of keys for these workers, which goes with the test. */
export async function keyFolder(...names: string[]) {
  const folder = mkdtempSync(join(tmpdir(), "thurstone-keys-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  await makeKeys(folder, names);
  const control = join(folder, "control.json");
  return {
    folder,
    control,
    keys: await readControlKeys(control),
    fileOf: (name: string) => join(folder, `${name}.json`),
  };
}
