/**
 * `thurstone serve`: a checkpoint as a quality meter over HTTP.
 *
 * @module
 */
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { resolve } from "node:path";
import { inspect } from "node:util";
import { ConfigError } from "../errors.js";
import { DEFAULT_LIMITS, startService } from "../serve/index.js";
import type { Service, ServeLimits } from "../serve/index.js";
import { createMetric } from "../trainer/index.js";
import type { Metric, MetricOptions } from "../trainer/index.js";
import { EXIT } from "./io.js";
import type { Command, CommandIo } from "./io.js";
import { positiveInteger, positiveNumber, wholeNumber } from "./numbers.js";
import { dashes, ownProgram } from "./own-program.js";
import { untilInterrupted } from "./scoring/interrupt.js";
import { addMetricFlags, metricFlagProblem, metricOptions, MODEL_HELP } from "./scoring/metric-flags.js";
import type { MetricFlags } from "./scoring/metric-flags.js";

interface OwnFlags {
  readonly model: string;
  readonly host: string;
  readonly port: number;
  readonly token?: string;
  readonly generateToken?: true;
  readonly root?: string;
  readonly batch: number;
  readonly maxBody: number;
  readonly maxPictures: number;
  readonly maxWaiting: number;
  readonly maxHeld: number;
  readonly headerTimeout: number;
  readonly requestTimeout: number;
  readonly grace: number;
  readonly imageCache: number;
  readonly json?: true;
}

const MEBIBYTE = 2 ** 20;

export const serveCommand: Command = (args, io) => untilInterrupted((signal) => runServeCommand(args, io, { signal }));

/** What a test gives instead of Ctrl-C and a worker. */
export type ServeSurroundings = Pick<MetricOptions, "connect"> & { readonly signal: AbortSignal };

/** The command in a test's surroundings. */
export async function runServeCommand(
  args: readonly string[],
  io: CommandIo,
  surroundings: ServeSurroundings,
): Promise<number> {
  let exitCode: number = EXIT.done;
  const program = addMetricFlags(addOwnFlags(ownProgram("serve", io)))
    .addHelpText(
      "after",
      "\nCtrl-C and SIGTERM: no more requests are taken, those under way are answered within the grace, then it ends.\nExit codes: 0 stopped, 1 failed, or the model was lost, 2 wrong usage.",
    )
    .action(async (given: OwnFlags & MetricFlags) => {
      const token = given.token ?? io.env["THURSTONE_TOKEN"];
      const flags = { ...given, ...(token !== undefined && { token }) };
      const problem = problemOf(flags);
      if (problem !== null) program.error(`error: ${problem}`);
      exitCode = await serve(flags, io, surroundings);
    });
  await program.parseAsync(args.map(dashes), { from: "user" });
  return exitCode;
}

function addOwnFlags(program: ReturnType<typeof ownProgram>): ReturnType<typeof ownProgram> {
  const mebibytes = (bytes: number): number => bytes / MEBIBYTE;
  const { batch, maxBodyBytes, maxPictures, maxWaiting, maxHeldBytes, headerTimeout, requestTimeout } = DEFAULT_LIMITS;
  return program
    .description("rate pictures over HTTP: POST /v1/score with uploads, or with paths under --root")
    .requiredOption("--model <checkpoint>", MODEL_HELP)
    .option("--host <address>", "where to listen; an address that others can reach needs a token", "127.0.0.1")
    .option("--port <number>", "0: any that is free", wholeNumber, 8080)
    .option("--token <token>", "what clients must send as Authorization: Bearer [THURSTONE_TOKEN of the environment]")
    .option("--generate-token", "make a token and print it")
    .option("--root <folder>", "let requests name the pictures in this folder and below")
    .option("--batch <pictures>", "pictures that go to the model together", positiveInteger, batch)
    .option("--max-body <MiB>", "size of a request", positiveNumber, mebibytes(maxBodyBytes))
    .option("--max-pictures <count>", "pictures of a request", positiveInteger, maxPictures)
    .option(
      "--max-waiting <count>",
      "pictures that wait, of all requests; more are refused",
      positiveInteger,
      maxWaiting,
    )
    .option("--max-held <MiB>", "size of all requests under way", positiveNumber, mebibytes(maxHeldBytes))
    .option("--header-timeout <seconds>", "until a request's headers are there", positiveNumber, headerTimeout / 1000)
    .option("--request-timeout <seconds>", "until all of a request is there", positiveNumber, requestTimeout / 1000)
    .option("--grace <seconds>", "for requests under way when it is stopped", positiveNumber, 10)
    .option("--image-cache <MiB>", "pictures that the worker keeps, as the model sees them", positiveInteger, 1024)
    .option("--json", "print the line that says where it listens as JSON");
}

function problemOf({ port, token, generateToken, ...flags }: OwnFlags & MetricFlags): string | null {
  if (port > 65_535) return `--port ${port} is none: the last one is 65535`;
  if (token !== undefined && generateToken === true) {
    return "--generate-token makes a token, and one is given already (--token, or THURSTONE_TOKEN): leave one out";
  }
  return metricFlagProblem(flags);
}

async function serve(
  flags: OwnFlags & MetricFlags,
  io: CommandIo,
  { connect, signal }: ServeSurroundings,
): Promise<number> {
  const { model, host, port, root, grace, imageCache } = flags;
  const limits = limitsOf(flags);
  const generated = flags.generateToken === true ? randomBytes(24).toString("base64url") : null;
  const say = (line: string): void => void io.stderr.write(`${line}\n`);
  const service = await startService({
    model,
    host,
    port,
    token: flags.token ?? generated,
    root: root === undefined ? null : resolve(io.cwd, root),
    limits,
    onFailure: (error) => say(io.verbose ? inspect(error, { depth: 6 }) : String(error)),
  });
  let loaded = false;
  try {
    say(`${model} is being loaded`);
    await using metric = await createMetric({
      ...metricOptions(model, flags, io.cwd, connect !== undefined),
      imageCacheBytes: imageCache * MEBIBYTE,
      onStderr: (line) => say(`worker: ${line}`),
      signal,
      ...(connect && { connect }),
    });
    loaded = true;
    checkImageCache(metric, limits, imageCache);
    service.open(metric);
    io.stdout.write(flags.json === true ? jsonLine(service, model, generated) : textLines(service, model, generated));
    const lost = await Promise.race([service.lost, aborted(signal)]);
    if (lost !== null) throw lost;
    say("stopping");
    await service.stop(grace * 1000);
  } catch (error) {
    // Loading ends with an error when it is given up.
    if (loaded || !signal.aborted) throw error;
  } finally {
    await service.stop(0);
  }
  return EXIT.done;
}

function limitsOf(flags: OwnFlags): ServeLimits {
  const { batch, maxPictures, maxWaiting } = flags;
  return {
    batch,
    maxPictures,
    maxWaiting,
    maxBodyBytes: Math.floor(flags.maxBody * MEBIBYTE),
    maxHeldBytes: Math.floor(flags.maxHeld * MEBIBYTE),
    headerTimeout: flags.headerTimeout * 1000,
    requestTimeout: flags.requestTimeout * 1000,
  };
}

/**
 * The pictures of two batches are held at a time: one that the model works on, and the next.
 *
 * @throws ConfigError SERVE_LIMITS where the largest ones would not find room
 */
function checkImageCache({ model }: Metric, { batch }: ServeLimits, imageCache: number): void {
  const needed = Math.ceil((2 * batch * 3 * model.image.maxPixels) / MEBIBYTE);
  if (needed <= imageCache) return;
  throw new ConfigError(
    "SERVE_LIMITS",
    `two batches of ${batch} pictures with up to ${model.image.maxPixels} pixels have ${needed} MiB, and --image-cache is ${imageCache}. Raise it, or lower --batch or --max-pixels.`,
  );
}

async function aborted(signal: AbortSignal): Promise<null> {
  if (!signal.aborted) await once(signal, "abort");
  return null;
}

function jsonLine({ url, port }: Service, model: string, token: string | null): string {
  return `${JSON.stringify({ event: "listening", url, port, model, ...(token !== null && { token }) })}\n`;
}

function textLines({ url }: Service, model: string, token: string | null): string {
  const lines = [`${model} rates pictures at ${url}/v1/score`, ...(token === null ? [] : [`token: ${token}`])];
  return `${lines.join("\n")}\n`;
}
