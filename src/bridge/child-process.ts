/**
 * A child process in a group of its own, which ends with this process and takes with it what it started itself.
 *
 * @module
 */
import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import type { WorkerLog } from "./worker-log.js";

export interface Child {
  readonly pid: number;
  /** Resolves with how it ended ("exit code 3", "signal SIGKILL"), once what it wrote has been read. */
  readonly ended: Promise<string>;
  /** Writes to its stdin, which stays open: its end tells the child that this process is gone. */
  write(text: string): void;
  terminate(): void;
  /** SIGKILL to the whole group. */
  kill(): void;
}

export interface ChildOptions {
  readonly command: string;
  readonly args: readonly string[];
  /** Added to this process's environment. */
  readonly env: Readonly<Record<string, string>> | undefined;
  readonly cwd: string | undefined;
  /** Gets all it writes. */
  readonly log: WorkerLog;
}

/** Milliseconds to wait, after the end, for output that a process which left the group may hold open. */
const OUTPUT_GRACE = 1000;

/** Groups that must not outlive this process when it ends without stopping them. */
const running = new Set<number>();
process.on("exit", () => running.forEach(killGroup));

/** Rejects with the system's error when the command cannot be started. */
export function startChild({ command, args, env, cwd, log }: ChildOptions): Promise<Child> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, [...args], {
      // A group of its own: Ctrl-C in a terminal reaches this process only, which then decides; and it can be killed as one.
      detached: true,
      stdio: ["pipe", "pipe", "pipe"],
      env: { ...process.env, ...env },
      ...(cwd !== undefined && { cwd }),
    });
    child.once("error", reject);
    child.once("spawn", () => {
      child.on("error", () => undefined);
      child.stdin.on("error", () => undefined);
      log.follow(child.stdout);
      log.follow(child.stderr);
      const pid = child.pid!;
      running.add(pid);
      resolve({
        pid,
        ended: watchEnd(child, pid),
        write: (text) => void child.stdin.write(text),
        terminate: () => void child.kill("SIGTERM"),
        kill: () => {
          // Once it has ended its number may be another's.
          if (running.has(pid)) killGroup(pid);
        },
      });
    });
  });
}

function watchEnd(child: ChildProcess, pid: number): Promise<string> {
  return new Promise((resolve) => {
    child.once("exit", (code, signal) => {
      const how = signal === null ? `exit code ${code}` : `signal ${signal}`;
      // What the child itself started must not outlive it, and would keep its output open.
      killGroup(pid);
      running.delete(pid);
      const timer = setTimeout(() => resolve(how), OUTPUT_GRACE);
      child.once("close", () => {
        clearTimeout(timer);
        resolve(how);
      });
    });
  });
}

function killGroup(pid: number): void {
  try {
    process.kill(-pid, "SIGKILL");
  } catch (error) {
    // ESRCH: nobody is left. EPERM: so says macOS of a group in which all have ended.
    const { code } = error as NodeJS.ErrnoException;
    if (code !== "ESRCH" && code !== "EPERM") throw error;
  }
}
