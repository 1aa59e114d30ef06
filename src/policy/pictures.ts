/**
 * Brings pictures to the worker: announced by key, sent only where the worker lacks them.
 *
 * @module
 */
import type { Caller, Plain, Tensor } from "../bridge/index.js";
import { cutBySize } from "./planner.js";
import type { Rank, RankOptions } from "./ranks.js";
import { imagesReply, parseReply } from "./replies.js";
import type { ImageReference, Picture } from "./types.js";

/** Frames of 1 to 16 MB travel fastest; more than this per message only costs memory. */
const BYTES_PER_MESSAGE = 16 * 1024 * 1024;

/** Knows which picture a prompt's reference means, so that whichever rank gets a group gets its pictures as well. */
export interface PictureCarrier {
  /** How a prompt refers to the picture. @param step pins it on the worker, see `EncodeOptions` */
  refer(picture: Picture, step: number | undefined): ImageReference;
  /**
   * Brings a rank the pictures of prompts or groups that it lacks. References that were not made here are left to the
   * worker, which knows them or not.
   */
  bring(
    rank: Rank,
    prompts: readonly { readonly images: readonly ImageReference[] }[],
    options: RankOptions,
  ): Promise<void>;
}

/** Knows no picture yet. It holds on to none longer than the references are held. */
export function createPictureCarrier(): PictureCarrier {
  const known = new WeakMap<ImageReference, { readonly picture: Picture; readonly step: number | undefined }>();
  return {
    refer(picture, step) {
      const reference = { key: picture.key, height: picture.targetHeight, width: picture.targetWidth };
      known.set(reference, { picture, step });
      return reference;
    },
    async bring(rank, prompts, options) {
      const references = prompts.flatMap(({ images }) => images);
      const found = references.map((reference) => known.get(reference)).filter((one) => one !== undefined);
      for (const step of new Set(found.map((one) => one.step))) {
        const pictures = found.filter((one) => one.step === step).map(({ picture }) => picture);
        await sendPictures(rank, pictures, { step, ...options });
      }
    },
  };
}

function describe(picture: Picture): Plain {
  return {
    key: picture.key,
    hash: picture.hash,
    height: picture.height,
    width: picture.width,
    target_height: picture.targetHeight,
    target_width: picture.targetWidth,
  };
}

/** Options of `sendPictures`. */
export interface SendPicturesOptions {
  /** Pins the pictures until a later step is announced. */
  readonly step?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Announces the pictures, then sends the pixels of those the worker asks for. */
export async function sendPictures(
  caller: Pick<Caller, "call">,
  pictures: readonly Picture[],
  options: SendPicturesOptions,
): Promise<void> {
  const unique = [...new Map(pictures.map((picture) => [picture.key, picture])).values()];
  if (unique.length === 0) return;
  const step = options.step ?? null;
  const call = { ...(options.signal && { signal: options.signal }) };

  const announced = await caller.call(
    "images",
    { images: unique.map(describe), step, release_before: step === null ? null : step - 1 },
    call,
  );
  const missing = new Set(parseReply("images", imagesReply, announced).missing);
  const wanted = unique.filter((picture) => missing.has(picture.key));

  for (const message of cutBySize(wanted, pixelBytes, BYTES_PER_MESSAGE)) {
    const pixels = await Promise.all(message.map(pixelTensor));
    const tensors = Object.fromEntries(pixels.map((tensor, index) => [String(index), tensor]));
    await caller.call("images", { images: message.map(describe), step, release_before: null }, { ...call, tensors });
  }
}

async function pixelTensor(picture: Picture): Promise<Tensor> {
  return { dtype: "u8", shape: [picture.height, picture.width, 3], data: await picture.pixels() };
}

function pixelBytes({ height, width }: Picture): number {
  return height * width * 3;
}
