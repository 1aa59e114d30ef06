/**
 * Key pairs for workers on other machines: files that only their owner reads, and what is in them.
 *
 * A control file has the control plane's own pair and the public key of every worker that may dial in; a worker file has
 * the worker's pair and the control plane's public key. Keys are those of CURVE as ZeroMQ writes them: 32 bytes in Z85.
 *
 * @module
 */
import { mkdir, readFile, rename, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { curveKeyPair } from "zeromq";
import { z } from "zod";
import { BridgeError } from "../errors.js";

const key = z.string().regex(/^[0-9a-zA-Z.\-:+=^!/*?&<>()[\]{}@%$#]{40}$/);

const controlFile = z.object({
  kind: z.literal("thurstone control keys"),
  public_key: key,
  secret_key: key,
  /** Name to public key. */
  workers: z.record(z.string(), key),
});
type ControlFile = z.output<typeof controlFile>;

/** What a control plane needs to let workers in. */
export interface ControlKeys {
  readonly publicKey: string;
  readonly secretKey: string;
  /** Who may dial in: names by public key. */
  readonly workers: ReadonlyMap<string, string>;
}

/** What `makeKeys` wrote. */
export interface MadeKeys {
  /** The control plane's file, and whether it is new. */
  readonly control: { readonly path: string; readonly publicKey: string; readonly made: boolean };
  readonly workers: readonly { readonly name: string; readonly path: string; readonly publicKey: string }[];
}

/** Name of the control plane's file in a folder of keys. */
export const CONTROL_FILE = "control.json";

/**
 * Makes a key file for each named worker, and the control plane's where the folder has none yet; files have mode 0600.
 * Workers are added to the list of an existing control file.
 *
 * @throws BridgeError KEYS_EXIST for a name that has a file or is taken; KEYS_INVALID; KEYS_UNWRITABLE
 */
export async function makeKeys(folder: string, names: readonly string[]): Promise<MadeKeys> {
  for (const [at, name] of names.entries()) {
    const allowed = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/.test(name) && `${name}.json` !== CONTROL_FILE;
    if (allowed && names.indexOf(name) === at) continue;
    const rule = 'has letters, digits, ".", "_" and "-", at most 64, is not "control" and is given once';
    throw new BridgeError("KEYS_INVALID", `${JSON.stringify(name)} cannot name a worker: a name ${rule}.`);
  }
  await writing(folder, () => mkdir(folder, { recursive: true, mode: 0o700 }));
  const path = join(folder, CONTROL_FILE);
  const existing = await readJson(path);
  const control = existing === undefined ? newControl() : await checkedControl(path, existing);
  const files = names.map((name) => ({ name, path: join(folder, `${name}.json`), pair: curveKeyPair() }));
  for (const { name, path: file } of files) {
    if (!Object.hasOwn(control.workers, name) && (await readJson(file)) === undefined) continue;
    throw new BridgeError(
      "KEYS_EXIST",
      `there is a key for "${name}" already (${file}, or in the list of ${path}). Use another name; to replace a key ` +
        "remove its file and its line in the list first.",
    );
  }
  const workers = { ...control.workers, ...Object.fromEntries(files.map(({ name, pair }) => [name, pair.publicKey])) };
  for (const { name, path: file, pair } of files) {
    await writeSecret(file, {
      kind: "thurstone worker key",
      name,
      public_key: pair.publicKey,
      secret_key: pair.secretKey,
      control_key: control.public_key,
    });
  }
  // The list last, and in one go: a worker is listed once its file is whole.
  await writeSecret(`${path}.new`, { ...control, workers });
  await writing(path, () => rename(`${path}.new`, path));
  return {
    control: { path, publicKey: control.public_key, made: existing === undefined },
    workers: files.map(({ name, path: file, pair }) => ({ name, path: file, publicKey: pair.publicKey })),
  };
}

/**
 * Reads a control file.
 *
 * @throws BridgeError KEYS_MISSING, KEYS_OPEN when others may read it, KEYS_INVALID when it is none or lists nobody
 */
export async function readControlKeys(path: string): Promise<ControlKeys> {
  const json = await readJson(path);
  if (json === undefined) {
    throw new BridgeError("KEYS_MISSING", `there is no key file ${path}. "thurstone keys" makes one.`);
  }
  const { public_key: publicKey, secret_key: secretKey, workers } = await checkedControl(path, json);
  const listed = new Map(Object.entries(workers).map(([name, workerKey]) => [workerKey, name]));
  if (listed.size === 0) {
    throw new BridgeError("KEYS_INVALID", `${path} lists no worker, so none could join. Add one: thurstone keys.`);
  }
  return { publicKey, secretKey, workers: listed };
}

function newControl(): ControlFile {
  const { publicKey, secretKey } = curveKeyPair();
  return { kind: "thurstone control keys", public_key: publicKey, secret_key: secretKey, workers: {} };
}

async function checkedControl(path: string, text: string): Promise<ControlFile> {
  const { mode } = await stat(path);
  if ((mode & 0o077) !== 0) {
    const found = (mode & 0o777).toString(8);
    throw new BridgeError(
      "KEYS_OPEN",
      `${path} has mode ${found}: others than its owner can get at the secret key in it. chmod 600 it, and make new keys ` +
        "if anybody may have read it.",
    );
  }
  const parsed = controlFile.safeParse(parsedJson(text));
  if (parsed.success) return parsed.data;
  // No value of the file is shown: it may be a secret.
  const where = parsed.error.issues.map((issue) => issue.path.join(".") || "the file").join(", ");
  throw new BridgeError("KEYS_INVALID", `${path} is no control file of "thurstone keys": look at ${where}.`);
}

function parsedJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // Told by the caller; the parser's message would quote the file.
    return undefined;
  }
}

async function readJson(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw new BridgeError("KEYS_INVALID", `${path} cannot be read: ${String(error)}.`, { cause: error });
  }
}

async function writeSecret(path: string, content: Readonly<Record<string, unknown>>): Promise<void> {
  const text = `${JSON.stringify(content, null, 2)}\n`;
  await writing(path, () => writeFile(path, text, { mode: 0o600, flag: "wx" }));
}

async function writing(path: string, work: () => Promise<unknown>): Promise<void> {
  try {
    await work();
  } catch (cause) {
    const hint = "May this user write there? What a call that was interrupted has left may be removed.";
    throw new BridgeError("KEYS_UNWRITABLE", `${path} cannot be written: ${String(cause)}. ${hint}`, { cause });
  }
}
