/**
 * run_scripts/KADID-10K: the scripts for several machines and for Slurm. They run for real, with programs in front of the
 * path that write down what they were called with; what they call `thurstone` with is then given to it.
 *
 * @module
 */
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { expect, it, onTestFinished } from "vitest";
import { runCommandLine } from "../../src/cli/program.js";
import { parseFlags } from "../../src/config/index.js";
import { commandIo } from "../cli/outputs.js";

const root = resolve(import.meta.dirname, "../..");
const MACHINE = {
  NNODES: "2",
  NODE_RANK: "0",
  MASTER_ADDR: "gpu1",
  IMAGE_FOLDER: "pictures",
  DATA_FILE: "kadid.jsonl",
};

/** A folder with programs that write their arguments to a file named by the second one. */
function programs(): string {
  const folder = mkdtempSync(join(tmpdir(), "thurstone-script-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const write = (name: string, lines: string): void =>
    writeFileSync(join(folder, name), `#!/bin/bash\n${lines}\n`, { mode: 0o755 });
  write("npx", `printf '%s\\0' "$@" > "${folder}/called-$2.$NODE_RANK"`);
  write("scontrol", `[ "$*" = "show hostnames gpu[1-2]" ] && printf 'gpu1\\ngpu2\\n'`);
  // As Slurm would on two machines, one after the other.
  write("srun", `[ "$1" = --kill-on-bad-exit ] && shift && for node in 0 1; do SLURM_NODEID=$node "$@" || exit; done`);
  return folder;
}

function runScript(name: string, env: Readonly<Record<string, string>>, ...args: string[]) {
  const folder = programs();
  const { status, stderr } = spawnSync("bash", [`run_scripts/KADID-10K/${name}`, ...args], {
    cwd: root,
    env: { PATH: `${folder}:${process.env["PATH"]}`, ...env },
    encoding: "utf8",
  });
  const called = (command: string, machine = ""): string[] | undefined => {
    const file = join(folder, `called-${command}.${machine}`);
    return existsSync(file) ? readFileSync(file, "utf8").split("\0").slice(1, -1) : undefined;
  };
  return { status, stderr, called };
}

const WORKER = ["worker", "--connect", "tcp://gpu1:5700", "--key"];
const torchrun = (machine: string, gpus: string): string[] =>
  `--nnodes 2 --nproc-per-node ${gpus} --node-rank ${machine} --rdzv-backend static --master-addr gpu1 --master-port 29500`.split(
    " ",
  );

it("machine 0 runs the control plane beside its workers, with the flags of the script for one", () => {
  const { status, stderr, called } = runScript("multi_run_kadid.sh", MACHINE, "--deepspeed", "none");
  expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
  expect(called("worker", "0")).toEqual([...WORKER, "keys/node0.json", "--", ...torchrun("0", "8")]);
  expect(parseFlags(called("train", "0")!.slice(1))).toMatchObject({
    deepspeed: null,
    data_file_paths: "kadid.jsonl",
    worker_address: "tcp://0.0.0.0:5700",
    worker_key_file: "keys/control.json",
    num_processes: 16,
  });
});

it("the others run workers only, and need no data", () => {
  const env = { NNODES: "2", NODE_RANK: "1", MASTER_ADDR: "gpu1", GPUS: "4", KEYS: "mine" };
  const { status, called } = runScript("multi_run_kadid.sh", env);
  expect(status).toBe(0);
  expect(called("worker", "1")).toEqual([...WORKER, "mine/node1.json", "--", ...torchrun("1", "4")]);
  expect(called("train", "1")).toBeUndefined();
});

it("says what it needs", () => {
  for (const name of ["NNODES", "NODE_RANK", "MASTER_ADDR", "IMAGE_FOLDER"] as const) {
    const { [name]: _, ...rest } = MACHINE;
    const { status, stderr } = runScript("multi_run_kadid.sh", rest);
    expect({ status, stderr }).toEqual({ status: 1, stderr: expect.stringContaining(`${name}: set it to`) as string });
  }
});

it("a Slurm job makes keys and runs it on every machine", () => {
  const { MASTER_ADDR: _, NNODES: __, NODE_RANK: ___, ...data } = MACHINE;
  const job = { SLURM_NNODES: "2", SLURM_JOB_NODELIST: "gpu[1-2]", SLURM_JOB_ID: "77", SLURM_GPUS_ON_NODE: "4" };
  const { status, called } = runScript("slurm_run_kadid.sh", { ...data, ...job }, "--max_steps", "9");
  expect(status).toBe(0);
  expect(called("keys")).toEqual(["keys", "output/keys-77", "node0", "node1"]);
  expect(called("worker", "1")).toEqual([...WORKER, "output/keys-77/node1.json", "--", ...torchrun("1", "4")]);
  expect(parseFlags(called("train", "0")!.slice(1))).toMatchObject({ num_processes: 8, max_steps: 9 });
});

it("`thurstone worker` takes its arguments, and gives torchrun those behind --", async () => {
  const folder = programs();
  const python = join(folder, "python");
  writeFileSync(python, `#!/bin/bash\nprintf '%s ' "$@"\n`, { mode: 0o755 });
  const io = commandIo(folder, { PYTHON_BIN: python, PATH: process.env["PATH"] });
  const { called } = runScript("multi_run_kadid.sh", MACHINE);
  expect(await runCommandLine(called("worker", "0")!, io), io.stderr.text()).toBe(0);
  expect(io.stdout.text().trim()).toBe(
    `-m torch.distributed.run ${torchrun("0", "8").join(" ")} -m thurstone_runtime ` +
      `--connect tcp://gpu1:5700 --key keys/node0.json --parent-pid ${process.pid}`,
  );
});
