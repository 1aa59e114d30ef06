/**
 * The process behind a `PythonChild`: loads pythonia, has the Python shim run one function after the other, and ends with
 * its parent.
 *
 * Only here is pythonia loaded: importing it starts Python at once, some of its failures end the process, a Python that
 * dies goes unnoticed, and its timeouts do not stop Python. All of that is contained by a process that can be killed.
 *
 * @module
 */

import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import type { ChildAnswer, EncodedCall } from "./python-child.js";

/** What stands on the Python side of pythonia: thurstone_runtime/shim.py. */
interface Shim {
  start(parentPid: number): Promise<void>;
  call_json(module: string, name: string, args: string): Promise<unknown>;
}

let shim: Promise<Shim> | undefined;

process.on("message", (call: EncodedCall) => {
  void (shim ??= openShim()).then(async ({ call_json }) => {
    const json = String(await call_json(call.module, call.name, call.args));
    tell({ json });
  });
});
// The parent is gone. This process leads a group, and whatever Python started is in it.
process.once("disconnect", () => process.kill(-process.pid, "SIGKILL"));

async function openShim(): Promise<Shim> {
  const { default: pythonia } = await import("pythonia");
  const { proc } = (pythonia as unknown as { com: { proc: ChildProcess } }).com;
  void once(proc, "exit").then(([code, signal]) => {
    tell({ ended: String(signal ?? code) }, () => process.exit(1));
  });
  const opened = (await pythonia.python("thurstone_runtime.shim")) as Shim;
  await opened.start(process.pid);
  return opened;
}

function tell(answer: ChildAnswer, then: () => void = () => undefined): void {
  process.send?.(answer, then);
}
