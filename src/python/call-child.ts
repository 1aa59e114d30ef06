/**
 * The disposable process of `callPython`: loads pythonia, calls the Python shim once, answers, and ends.
 *
 * Only here is pythonia loaded: importing it starts Python at once, some of its failures end the process, a Python that
 * dies goes unnoticed, and its timeouts do not stop Python. All of that is contained by a process that is killed afterwards.
 *
 * @module
 */

import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import type { PythonAnswer, PythonCall } from "./call-python.js";

process.once("message", (call: PythonCall) => {
  void answer(call).then((result) => process.send?.(result, () => process.exit(0)));
});

async function answer({ module, name, args }: PythonCall): Promise<PythonAnswer> {
  const { default: pythonia } = await import("pythonia");
  const { proc } = (pythonia as unknown as { com: { proc: ChildProcess } }).com;
  process.once("disconnect", () => {
    proc.kill("SIGKILL");
    process.exit(1);
  });
  const died = once(proc, "exit").then(([code, signal]) => ({
    error: `Python ended with ${String(signal ?? code)} during the call`,
  }));
  return Promise.race([died, askShim(pythonia.python, { module, name, args })]);
}

async function askShim(python: (module: string) => Promise<any>, call: PythonCall): Promise<PythonAnswer> {
  const shim = await python("thurstone_runtime.shim");
  const json: unknown = await shim.call_json(call.module, call.name, JSON.stringify(call.args));
  return JSON.parse(String(json)) as PythonAnswer;
}
