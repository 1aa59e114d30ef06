/**
 * The two sockets of one worker, in a folder of their own. Whoever greets rightly is listened to, nobody else.
 *
 * @module
 */
import { WorkerError } from "../errors.js";
import { encodeMessage } from "./codec.js";
import { judgeHello } from "./handshake.js";
import type { Channel, Hello } from "./handshake.js";
import type { WireErrorFields } from "./message.js";
import { createPrivateFolder } from "./private-folder.js";
import { bindRouter } from "./router-socket.js";
import type { RouterSocket } from "./router-socket.js";
import type { Transport, TransportHandlers } from "./transport.js";

export interface WorkerSocketsOptions {
  readonly session: string;
  readonly token: string;
  readonly rank: number;
  readonly maxMessageBytes: number;
}

export interface WorkerSockets {
  /** Where the worker is to connect. */
  readonly addresses: Readonly<Record<Channel, string>>;
  /** Resolves when both sockets were greeted; rejects with WORKER_MISMATCH. */
  readonly greeted: Promise<Hello>;
  /** To and from the worker that greeted. */
  readonly transports: Readonly<Record<Channel, Transport>>;
  /** Messages of anybody else so far. */
  strangers(): number;
  /** Closes the sockets and removes the folder. */
  close(): Promise<void>;
}

/** One socket and the worker behind it. */
interface Line {
  readonly router: RouterSocket;
  hello?: Hello;
  identity?: Buffer;
  inbox?: TransportHandlers;
  /** Messages of the worker that came before anybody listened. */
  readonly early: Uint8Array[][];
}

/** @throws BridgeError BRIDGE_FOLDER, or what binding a socket throws; nothing is left behind then */
export async function openWorkerSockets(options: WorkerSocketsOptions): Promise<WorkerSockets> {
  const { session, maxMessageBytes } = options;
  const folder = await createPrivateFolder();
  const addresses = { data: `ipc://${folder.path}/data`, control: `ipc://${folder.path}/control` };
  const lines: Partial<Record<Channel, Line>> = {};
  let strangers = 0;
  let welcome: (hello: Hello) => void = () => undefined;
  let refuse: (error: WorkerError) => void = () => undefined;
  const greeted = new Promise<Hello>((resolve, reject) => {
    welcome = resolve;
    refuse = reject;
  });
  // Whoever waits for it learns of a refusal; nobody may be waiting yet.
  greeted.catch(() => undefined);

  async function close(): Promise<void> {
    for (const line of Object.values(lines)) line.router.close();
    await folder.remove();
  }

  async function open(channel: Channel): Promise<void> {
    const router = await bindRouter({
      address: addresses[channel],
      maxMessageBytes,
      onFailure: (error) => lines[channel]?.inbox?.onClose(error),
      onMessage: (identity, frames) => receive(channel, lines[channel]!, identity, frames),
    });
    lines[channel] = { router, early: [] };
  }

  function receive(channel: Channel, line: Line, identity: Buffer, frames: Uint8Array[]): void {
    if (line.identity === undefined) greet(channel, line, identity, frames);
    else if (!identity.equals(line.identity)) strangers += 1;
    else if (line.inbox === undefined) line.early.push(frames);
    else line.inbox.onMessage(frames);
  }

  function greet(channel: Channel, line: Line, identity: Buffer, frames: Uint8Array[]): void {
    const verdict = judgeHello(frames, { ...options, channel });
    // Whoever greets and is gone again cannot be answered.
    const answer = (id: string, error?: WireErrorFields): void =>
      void line.router
        .send(
          identity,
          encodeMessage({
            kind: error ? "err" : "hello",
            id,
            session,
            params: {},
            tensors: {},
            ...(error && { error }),
          }),
        )
        .catch(() => undefined);
    switch (verdict.kind) {
      case "welcome":
        line.identity = identity;
        line.hello = verdict.hello;
        answer(verdict.id);
        if (lines.data?.hello && lines.control?.hello) welcome(lines.data.hello);
        break;
      case "mismatch":
        answer(verdict.id, { code: "HELLO_VERSION", message: verdict.error.message, retryable: false });
        refuse(verdict.error);
        break;
      case "intruder":
        strangers += 1;
        answer(verdict.id, { code: "HELLO_TOKEN", message: "the token is not that of this launch", retryable: false });
        break;
      case "garbage":
        strangers += 1;
    }
  }

  const transportOf = (channel: Channel): Transport => {
    const line = lines[channel]!;
    return {
      start(inbox) {
        line.inbox = inbox;
        for (const frames of line.early.splice(0)) inbox.onMessage(frames);
      },
      send: (frames) => line.router.send(line.identity!, frames),
      close: async () => line.router.close(),
    };
  };

  try {
    await open("data");
    await open("control");
  } catch (error) {
    await close();
    throw error;
  }
  const transports = { data: transportOf("data"), control: transportOf("control") };
  return { addresses, greeted, transports, strangers: () => strangers, close };
}
