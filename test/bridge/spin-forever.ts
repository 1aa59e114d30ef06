/** Run by a test, which kills it: starts a worker, keeps it computing, and says its process id. */
import { eventually, startSelftest } from "./selftest-worker.js";

const worker = await startSelftest({ heartbeatInterval: 20 });
void worker.caller.call("spin", { seconds: 600 });
await eventually(() => worker.heartbeat?.method === "spin", 30_000);
process.stdout.write(`${worker.pid}\n`);
