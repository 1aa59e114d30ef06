/**
 * A unix socket without anything on top, to a Python process that takes bytes and gives bytes.
 *
 * Both ends read into memory that they keep, which is the fastest a socket can be, or into new memory for every message,
 * which is what handing a message over costs: whoever gets it may keep it.
 *
 * @module
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const HELPER = fileURLToPath(new URL("socket_peer.py", import.meta.url));
const HEAD_BYTES = 16;
/** Bytes read at a time, into memory that is used again: the fastest way Node has. */
const READ_BYTES = 1 << 20;

export interface RawSocket extends AsyncDisposable {
  /** Sends the bytes; resolves when `wanted` bytes (1 or more) have come back and lie in one piece of memory. */
  exchange(bytes: Uint8Array, wanted: number): Promise<void>;
}

export interface RawSocketOptions {
  readonly python: string;
  /** Where both ends put what they receive. */
  readonly memory: "kept" | "new";
}

export async function startRawSocket({ python, memory }: RawSocketOptions): Promise<RawSocket> {
  const folder = await mkdtemp(join(tmpdir(), "thurstone-raw-socket-"));
  const path = join(folder, "raw");
  const child = spawn(python, [HELPER, path, memory], { stdio: ["ignore", "pipe", "inherit"] });
  await once(child.stdout, "data");

  const awaited: { readonly wanted: number; readonly resolve: () => void }[] = [];
  let target = Buffer.alloc(0);
  let filled = 0;

  function take(chunk: Uint8Array): void {
    for (let at = 0; at < chunk.length;) {
      const { wanted, resolve } = awaited[0]!;
      if (filled === 0 && memory === "new") target = Buffer.allocUnsafeSlow(wanted);
      else if (target.length < wanted) target = Buffer.alloc(wanted);
      const count = Math.min(wanted - filled, chunk.length - at);
      target.set(chunk.subarray(at, at + count), filled);
      filled += count;
      at += count;
      if (filled < wanted) return;
      filled = 0;
      awaited.shift();
      resolve();
    }
  }

  const socket = connect({
    path,
    onread: {
      buffer: Buffer.alloc(READ_BYTES),
      callback(length, buffer) {
        take(buffer.subarray(0, length));
        return true;
      },
    },
  });
  await once(socket, "connect");

  return {
    exchange(bytes, wanted) {
      const head = Buffer.alloc(HEAD_BYTES);
      head.writeBigUInt64LE(BigInt(bytes.length));
      head.writeBigUInt64LE(BigInt(wanted), 8);
      const answered = new Promise<void>((resolve) => awaited.push({ wanted, resolve }));
      socket.cork();
      socket.write(head);
      socket.write(bytes);
      socket.uncork();
      return answered;
    },
    async [Symbol.asyncDispose]() {
      socket.end();
      await once(child, "close");
      await rm(folder, { recursive: true });
    },
  };
}
