/**
 * `thurstone worker`: the Python worker, or several under torchrun, of a run whose control plane is on another machine.
 *
 * @module
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { constants } from "node:os";
import { findPython } from "../python/index.js";
import { EXIT } from "./io.js";
import type { Command } from "./io.js";
import { dashes, ownProgram } from "./own-program.js";

interface WorkerFlags {
  readonly connect: string;
  readonly key: string;
  readonly rank?: string;
  readonly worldSize?: string;
  readonly rendezvous?: string;
  readonly allow?: string[];
  readonly wait?: string;
}

/** Signals that are passed on to the workers. Any other end of this process ends them as well: their stdin is its pipe. */
const SIGNALS = ["SIGINT", "SIGTERM"] as const;

export const workerCommand: Command = async (args, io) => {
  const cut = args.indexOf("--");
  const [own, torchrun] = cut === -1 ? [args, undefined] : [args.slice(0, cut), args.slice(cut + 1)];
  let exitCode: number = EXIT.done;
  const program = ownProgram("worker", io)
    .description("dial in to a control plane (worker_address of its run) and work for it until its run ends")
    .requiredOption("--connect <address>", "tcp://HOST:PORT of the control plane, or of a tunnel to it")
    .requiredOption("--key <file>", "this worker's file of `thurstone keys`")
    .option("--rank <number>", "which worker this is, from 0; default: RANK, as torchrun sets it, or 0")
    .option("--world-size <count>", "how many there are: num_processes; default: WORLD_SIZE, or 1")
    .option("--rendezvous <host:port>", "where the workers meet each other: an address of rank 0, without torchrun")
    .option("--allow <folders...>", "the run may write there and nowhere else; default: the current folder")
    .option("--wait <seconds>", "how long to try for until the control plane is up; default: 600")
    .usage("--connect ADDRESS --key FILE [options] [-- arguments of torchrun]")
    .addHelpText(
      "after",
      `
Behind "--" stand arguments of torchrun, which then starts as many workers here as --nproc-per-node says:
  thurstone worker --connect tcp://10.0.0.1:5700 --key node1.json -- --nnodes=2 --nproc-per-node=8 \\
    --rdzv-backend=c10d --rdzv-endpoint=10.0.0.1:29500
The interpreter is that of "thurstone setup", or PYTHON_BIN. docs/nodes.md has worked examples.`,
    )
    .action(async (flags: WorkerFlags) => {
      exitCode = await runWorker(flags, torchrun, io);
    });
  await program.parseAsync(own.map(dashes), { from: "user" });
  return exitCode;
};

async function runWorker(
  flags: WorkerFlags,
  torchrun: readonly string[] | undefined,
  io: Parameters<Command>[1],
): Promise<number> {
  const { python, pythonPath } = findPython({ env: io.env, cwd: io.cwd });
  const launcher = torchrun === undefined ? [] : ["-m", "torch.distributed.run", ...torchrun];
  const own = ["-m", "thurstone_runtime", ...pythonFlags(flags), "--parent-pid", String(process.pid)];
  const child = spawn(python, [...launcher, ...own], {
    cwd: io.cwd,
    env: { ...io.env, PYTHONPATH: [pythonPath, io.env["PYTHONPATH"]].filter(Boolean).join(":") },
    stdio: ["pipe", "pipe", "pipe"],
    // A group of its own, so that Ctrl-C reaches it once: torchrun leaves its workers behind when told twice.
    detached: true,
  });
  child.stdout.setEncoding("utf8").on("data", (text: string) => io.stdout.write(text));
  child.stderr.setEncoding("utf8").on("data", (text: string) => io.stderr.write(text));
  let terminated = false;
  const passOn = (signal: NodeJS.Signals): void => {
    // Schedulers send SIGTERM again and again, and torchrun has to be told once.
    if (signal !== "SIGTERM" || !terminated) child.kill(signal);
    terminated ||= signal === "SIGTERM";
  };
  for (const signal of SIGNALS) process.on(signal, passOn);
  try {
    const [code, signal] = (await once(child, "close")) as [number | null, NodeJS.Signals | null];
    return code ?? 128 + constants.signals[signal!];
  } finally {
    for (const signal of SIGNALS) process.off(signal, passOn);
  }
}

function pythonFlags({ allow, ...flags }: WorkerFlags): string[] {
  const named = Object.entries(flags).flatMap(([name, value]) => [
    `--${name === "worldSize" ? "world-size" : name}`,
    String(value),
  ]);
  return allow === undefined ? named : [...named, "--allow", ...allow];
}
