/**
 * run_scripts/KADID-10K: the scripts for several machines and for Slurm. They run for real, with programs in front of the
 * path that write down what they were called with; what they call `thurstone` with is then given to it. How a run on a real
 * worker is stopped: test/e2e/multi-run-script.test.ts.
 *
 * @module
 */
import { spawn, spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
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

const MAIN = [process.execPath, "--import", import.meta.resolve("tsx"), join(root, "src/cli/main.ts")];

/**
 * A folder with the scripts, and with programs that write their arguments to a file named by the second one. Keys are made;
 * with HOLD a training lasts until SIGTERM.
 */
function programs(): string {
  const folder = mkdtempSync(join(tmpdir(), "thurstone-script-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const write = (name: string, lines: string): void =>
    writeFileSync(join(folder, name), `#!/bin/bash\n${lines}\n`, { mode: 0o755 });
  const calls = [
    `printf '%s\\0' "$@" > "${folder}/called-$2.$NODE_RANK"`,
    `[ "$2" != keys ] || exec "${MAIN.join('" "')}" "\${@:2}"`,
    `[ "$2" != train ] || [ -z "\${HOLD:-}" ] || { trap 'exit 0' TERM; echo "it trains"; while :; do sleep 0.02; done; }`,
  ];
  write("node", calls.join("\n"));
  write(
    "scontrol",
    `[ "$*" != "show hostnames gpu[1-2]" ] || exec printf 'gpu1\\ngpu2\\n'\necho "scontrol $*" > "${folder}/requeued"`,
  );
  // As Slurm would on the second of two machines.
  write(
    "srun",
    `[ "\${*:1:4}" = "--relative=1 --nodes=1 --ntasks=1 --kill-on-bad-exit" ] && SLURM_NODEID=0 exec "\${@:5}"`,
  );
  mkdirSync(join(folder, "run_scripts"));
  cpSync(join(root, "run_scripts/KADID-10K"), join(folder, "run_scripts/KADID-10K"), { recursive: true });
  return folder;
}

const pathTo = (folder: string) => ({ PATH: `${folder}:${process.env["PATH"]}` });

function runScript(name: string, env: Readonly<Record<string, string>>, ...args: string[]) {
  return runIn(programs(), name, env, ...args);
}

function runIn(folder: string, name: string, env: Readonly<Record<string, string>>, ...args: string[]) {
  const { status, stderr } = spawnSync("bash", [`run_scripts/KADID-10K/${name}`, ...args], {
    cwd: folder,
    env: { ...pathTo(folder), ...env },
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

describe("a Slurm job", () => {
  const { MASTER_ADDR: _, NNODES: __, NODE_RANK: ___, ...data } = MACHINE;
  const job = { SLURM_NNODES: "2", SLURM_JOB_NODELIST: "gpu[1-2]", SLURM_JOB_ID: "77", SLURM_GPUS_ON_NODE: "4" };

  it("makes keys and runs it on every machine; when it is requeued, under the same number, with the same keys", () => {
    const folder = programs();
    for (const time of ["first", "again"]) {
      const { status, stderr, called } = runIn(folder, "slurm_run_kadid.sh", { ...data, ...job }, "--max_steps", "9");
      expect({ status, stderr }, time).toEqual({ status: 0, stderr: "" });
      expect(called("keys")).toEqual(["keys", "output/keys-77", "node0", "node1"]);
      expect(called("worker", "0")).toEqual([...WORKER, "output/keys-77/node0.json", "--", ...torchrun("0", "4")]);
      expect(called("worker", "1")).toEqual([...WORKER, "output/keys-77/node1.json", "--", ...torchrun("1", "4")]);
      expect(parseFlags(called("train", "0")!.slice(1))).toMatchObject({ num_processes: 8, max_steps: 9 });
      expect(called("train", "1")).toBeUndefined();
    }
    // With a machine more, as sbatch may give a job that is submitted again with the same keys.
    const more = { ...data, ...job, SLURM_NNODES: "3", KEYS: "output/keys-77" };
    expect(runIn(folder, "slurm_run_kadid.sh", more).called("keys")).toEqual(["keys", "output/keys-77", "node2"]);
  });

  it.each([
    ["goes back to the queue with --requeue", ["--save_only_model", "false", "--requeue"], true],
    ["ends without it", [], false],
  ])("hands SIGTERM on to the control plane, whose end is its own, and %s", async (_case, flags, requeued) => {
    const folder = programs();
    const shell = spawn("bash", ["run_scripts/KADID-10K/slurm_run_kadid.sh", ...flags], {
      cwd: folder,
      env: { ...pathTo(folder), ...data, ...job, HOLD: "1" },
      stdio: ["ignore", "pipe", "inherit"],
    });
    shell.stdout.on("data", (text: Buffer) => text.toString().includes("it trains") && shell.kill("SIGTERM"));
    expect(await new Promise((done) => shell.on("close", done))).toBe(0);
    expect(existsSync(join(folder, "requeued"))).toBe(requeued);
    if (requeued) expect(readFileSync(join(folder, "requeued"), "utf8")).toBe("scontrol requeue 77\n");
  });
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
