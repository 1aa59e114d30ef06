/**
 * What the scripts of this folder share: saying things, running programs, digests, stamps and a lock. No dependencies.
 *
 * @module
 */

import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";

/** The folder of package.json, in a clone as in an installed package. */
export const ROOT = fileURLToPath(new URL("../..", import.meta.url));

/** Something the user can put right; printed without a stack. */
export class Problem extends Error {}

/** Name of the running script, before everything it says. */
const SCRIPT = basename(process.argv[1] ?? "", ".mjs");

export function say(text) {
  process.stdout.write(`${SCRIPT}  ${text}\n`);
}

export function seconds(since) {
  return `${((performance.now() - since) / 1000).toFixed(2)} s`;
}

/** Runs a script's body, prints a Problem, or each of an AggregateError, as plain text and sets the exit code. */
export async function main(body) {
  try {
    await body();
  } catch (error) {
    const errors = error instanceof AggregateError ? error.errors : [error];
    for (const each of errors) if (!(each instanceof Problem)) throw each;
    for (const { message } of errors) process.stderr.write(`\n${SCRIPT}  ${message}\n`);
    process.exitCode = 1;
  }
}

/**
 * Runs a program with this process's terminal. A signal or a missing program is a Problem, an exit code is returned.
 *
 * @param options those of `spawn`; with `inOnePiece` the program may run beside others: what it says is printed when it ends
 */
export async function run(command, args, { inOnePiece = false, ...options } = {}) {
  const stdio = inOnePiece ? ["ignore", "pipe", "pipe"] : "inherit";
  const child = spawn(command, args, { stdio, cwd: ROOT, ...options });
  const said = [];
  for (const stream of [child.stdout, child.stderr]) stream?.on("data", (piece) => said.push(piece));
  const [status, signal] = await once(child, "close").catch((error) => {
    throw new Problem(`cannot run ${command}: ${error.message}`);
  });
  process.stdout.write(Buffer.concat(said));
  if (signal) throw new Problem(`${command} was ended by ${signal}. Start again: what is finished is kept.`);
  return status;
}

/** A download breaks now and then: the same command again, up to three times. */
export async function runWithRetries(what, command, args, options = {}) {
  for (let attempt = 1; attempt <= 3; attempt += 1) {
    if ((await run(command, args, options)) === 0) return;
    if (attempt < 3) say(`${what} failed (attempt ${attempt} of 3), trying again`);
  }
  throw new Problem(
    `${what} failed three times; its last output is above. Check the network and the disk space, then start again: what was downloaded is kept.`,
  );
}

export function digest(...parts) {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(part).update("\0");
  return hash.digest("hex");
}

/** A stamp says for which inputs a step was finished; anything unreadable counts as not finished. */
export function readStamp(file) {
  try {
    return JSON.parse(readFileSync(file, "utf8"));
  } catch (error) {
    if (error instanceof SyntaxError || error.code === "ENOENT" || error.code === "ENOTDIR") return undefined;
    throw error;
  }
}

export function writeStamp(file, stamp) {
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(`${file}.partial`, `${JSON.stringify(stamp, null, 2)}\n`);
  renameSync(`${file}.partial`, file);
}

/** A step of the setup whose work is done by one process at a time; one that had to wait finds it done. */
export function step({ name, lock, isCurrent, complete }) {
  return { name, isCurrent, run: () => withLock(lock, () => (isCurrent() ? undefined : complete())) };
}

/**
 * Runs `body` while holding the folder `lock`; a second process waits. A lock appears together with its owner's id (a
 * filled folder is renamed into place), so that one left behind by a dead process is recognised and taken over.
 */
async function withLock(lock, body) {
  const mine = `${lock}.${process.pid}`;
  mkdirSync(mine, { recursive: true });
  writeFileSync(join(mine, "owner"), String(process.pid));
  try {
    for (let waited = 0; !renamed(mine, lock); waited += 1) {
      const owner = ownerOf(lock);
      if (owner !== undefined && !alive(owner)) discardLock(lock, owner);
      else {
        if (waited === 0) say(`waiting for process ${owner ?? "?"} (if there is none, delete ${lock})`);
        await sleep(250);
      }
    }
    try {
      return await body();
    } finally {
      rmSync(lock, { recursive: true, force: true });
    }
  } finally {
    rmSync(mine, { recursive: true, force: true });
  }
}

function renamed(from, to) {
  try {
    renameSync(from, to);
    return true;
  } catch (error) {
    if (["ENOTEMPTY", "EEXIST", "EPERM"].includes(error.code)) return false;
    throw error;
  }
}

function ownerOf(lock) {
  try {
    return Number(readFileSync(join(lock, "owner"), "utf8"));
  } catch (error) {
    if (error.code === "ENOENT") return undefined;
    throw error;
  }
}

function alive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === "EPERM";
  }
}

/** Moves the dead owner's lock aside before deleting it, and puts it back when another process was faster. */
function discardLock(lock, deadOwner) {
  const aside = `${lock}.dead.${process.pid}`;
  if (!renamed(lock, aside)) return;
  if (ownerOf(aside) === deadOwner || !renamed(aside, lock)) rmSync(aside, { recursive: true, force: true });
}
