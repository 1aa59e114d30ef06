/**
 * A file of Python rewards that do what people's functions do, good and bad, and a look at the processes they run in.
 *
 * @module
 */
import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";

const SOURCE = `
import json, os, signal, subprocess, sys, time
from helper import BONUS

print("noise on import")
FOLDER = os.path.dirname(os.path.abspath(__file__))
calls = 0

def note(name, value):
    path = os.path.join(FOLDER, name)
    with open(path + ".partial", "w") as file:
        file.write(json.dumps(value))
    os.rename(path + ".partial", path)

def text_length(completions, **columns):
    print("noise in a call")
    os.write(1, b"noise without Python's buffers\\n")
    return [len(completion[0]["content"]) + BONUS for completion in completions]

def plain_length(completions, **columns):
    return [float(len(completion)) for completion in completions]

def sees(prompts, completions, completion_ids, trainer_state, **columns):
    note("seen.json", [prompts, completions, completion_ids, columns, trainer_state.global_step, sys.stdin.read()])
    return [0.0] * len(completions)

def counts_calls(completions, **columns):
    global calls
    calls += 1
    return [calls] * len(completions)

def shy(completions, **columns):
    return tuple(None if index == 0 else index for index in range(len(completions)))

class Number:
    def __float__(self):
        return 2.5

def number_like(completions, **columns):
    return (Number() for completion in completions)

async def awaited(completions, **columns):
    return [1] * len(completions)

def raises(completions, **columns):
    raise ValueError("no such picture")

def leaves(completions, **columns):
    sys.exit("enough")

def not_a_number(completions, **columns):
    return [float("nan")] * len(completions)

def infinite(completions, **columns):
    return [float("-inf")] * len(completions)

def too_few(completions, **columns):
    return [1.0]

def one_value(completions, **columns):
    return 1.0

def texts(completions, **columns):
    return ["good"] * len(completions)

def dies(completions, **columns):
    if os.path.exists(os.path.join(FOLDER, "spared")):
        return [1.0] * len(completions)
    note("spared", True)
    print("last words", flush=True)
    os._exit(3)

def crashes(completions, **columns):
    os.kill(os.getpid(), signal.SIGSEGV)

def hangs(completions, **columns):
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    note("pids.json", [os.getpid(), child.pid])
    time.sleep(600)
`;

/** Writes `rewards.py`, `helper.py` beside it, and `broken.py`; returns the path of the first. */
export function writePythonRewards(folder: string): string {
  const path = join(folder, "rewards.py");
  writeFileSync(path, SOURCE);
  writeFileSync(join(folder, "helper.py"), "BONUS = 0.5\n");
  writeFileSync(
    join(folder, "broken.py"),
    "import no_such_package\n\ndef never(completions, **columns):\n    return []\n",
  );
  return path;
}

/** Whether a process exists and has not ended. One that was killed may wait to be collected. */
export function runs(pid: number): boolean {
  try {
    return !execFileSync("ps", ["-o", "state=", "-p", String(pid)], { encoding: "utf8" })
      .trim()
      .startsWith("Z");
  } catch {
    return false;
  }
}

/** Process ids whose command line or environment names this file's folder or that Python runs pythonia for `parent`. */
export function pythoniasOf(parent: number): number[] {
  const lines = execFileSync("ps", ["-A", "-o", "pid=,ppid=,stat=,args="], { encoding: "utf8" }).split("\n");
  const processes = lines
    .map((line) => /^\s*(\d+)\s+(\d+)\s+(\S+)\s+(.*)$/.exec(line))
    .filter((found) => found !== null && !found[3]!.startsWith("Z"))
    .map((found) => ({ pid: Number(found![1]), parent: Number(found![2]), command: found![4]! }));
  const children = processes.filter((one) => one.parent === parent && one.command.includes("call-child"));
  const grandchildren = processes.filter((one) => children.some(({ pid }) => pid === one.parent));
  return [...children, ...grandchildren].map(({ pid }) => pid);
}
