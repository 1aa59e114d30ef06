/**
 * POST /v1/score: pictures of one request to records, one each, in their order.
 *
 * @module
 */
import type { IncomingMessage } from "node:http";
import type { Rating } from "../trainer/index.js";
import { announceBody, readBody, readPaths } from "./body.js";
import type { Budget, Hold } from "./budget.js";
import type { Exchange } from "./http-server.js";
import type { ServeLimits } from "./limits.js";
import { readMultipart } from "./multipart.js";
import { Refusal } from "./refusal.js";
import type { RootFolder } from "./root-folder.js";
import type { Scheduler } from "./scheduler.js";

/** A picture rated: what `thurstone score` writes as a line of JSON. */
export interface PictureRecord extends Omit<Rating, "id"> {
  /** The path as it was given, or the name of the uploaded file. */
  readonly path: string;
  /** As the service was given it. */
  readonly model: string;
}

export interface ScoreContext {
  readonly model: string;
  readonly limits: ServeLimits;
  readonly budget: Budget;
  /** null: requests may name no files. */
  readonly root: RootFolder | null;
}

/** A picture, or the name of one that is not there. */
interface Given {
  readonly name: string;
  readonly bytes: Uint8Array | null;
}

const ABSENT: Omit<Rating, "id"> = {
  score: null,
  std: null,
  scores: [],
  status: "failed",
  code: "DATA_IMAGE_MISSING",
  reason:
    "there is no such file in the folder whose pictures this service reads; links that lead out of it are not followed.",
};

/** @throws Refusal for what is wrong with the request as a whole; a picture that cannot be rated has a record that says so */
export async function scoreRequest(
  { request, gone, proceed }: Exchange,
  scheduler: Scheduler,
  context: ScoreContext,
): Promise<PictureRecord[]> {
  const read = readerOf(request, context);
  scheduler.makeRoom(1);
  const hold = context.budget.hold();
  try {
    announceBody(request, { maxBytes: context.limits.maxBodyBytes, hold });
    proceed();
    const given = await read(hold);
    const pictures = given.flatMap(({ bytes }) => (bytes === null ? [] : [bytes]));
    const ratings = (await scheduler.rate(pictures, gone)).values();
    return given.map(({ name, bytes }) => {
      const { id: _, ...rating } = bytes === null ? { id: name, ...ABSENT } : ratings.next().value!;
      return { path: name, model: context.model, ...rating };
    });
  } finally {
    hold.release();
  }
}

/** How the body is to be read, by what the headers call it. */
function readerOf(request: IncomingMessage, context: ScoreContext): (hold: Hold) => Promise<Given[]> {
  const { limits, root } = context;
  const { "content-type": contentType = "", "content-encoding": encoding = "identity" } = request.headers;
  if (encoding !== "identity") throw new Refusal("SERVE_TYPE", `bodies are taken as they are, and not as ${encoding}.`);
  const type = contentType.split(";", 1)[0]!.trim().toLowerCase();
  if (type === "multipart/form-data") {
    return (hold) =>
      readMultipart(readBody(request, { maxBytes: limits.maxBodyBytes, hold }), contentType, limits.maxPictures);
  }
  if (type !== "application/json") {
    throw new Refusal(
      "SERVE_TYPE",
      `the body is "${type}". Send pictures as multipart/form-data, or paths as application/json.`,
    );
  }
  if (root === null) {
    throw new Refusal(
      "SERVE_NO_ROOT",
      "this service reads no files. Start it with --root FOLDER, or send the pictures.",
    );
  }
  return (hold) => readFiles(request, root, limits, hold);
}

async function readFiles(
  request: IncomingMessage,
  root: RootFolder,
  { maxBodyBytes: maxBytes, maxPictures }: ServeLimits,
  hold: Hold,
): Promise<Given[]> {
  const paths = await readPaths(request, { maxBytes, maxPictures, hold });
  const given: Given[] = [];
  let total = 0;
  const take = (bytes: number): void => {
    total += bytes;
    if (total > maxBytes) {
      throw new Refusal(
        "SERVE_TOO_LARGE",
        `the files have more than ${maxBytes} bytes, which is the most that is taken.`,
      );
    }
    hold.raise(total);
  };
  for (const name of paths) given.push({ name, bytes: await root.read(name, take) });
  return given;
}
