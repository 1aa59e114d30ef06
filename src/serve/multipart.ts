/**
 * Pictures out of a form, as browsers and curl send it.
 *
 * @module
 */
import { Busboy } from "@fastify/busboy";
import type { BusboyInstance } from "@fastify/busboy";
import { pipeline } from "node:stream/promises";
import { Refusal } from "./refusal.js";

/** A picture with the name that its record gets. */
export interface Upload {
  readonly name: string;
  readonly bytes: Uint8Array;
}

/**
 * @param body refuses by itself what is too long
 * @param contentType of the request, with the boundary
 * @throws Refusal SERVE_MULTIPART, SERVE_FIELD, SERVE_TOO_MANY, SERVE_NO_PICTURE, and whatever `body` throws
 */
export async function readMultipart(
  body: AsyncIterable<Uint8Array>,
  contentType: string,
  maxPictures: number,
): Promise<Upload[]> {
  const form = openForm(contentType, maxPictures);
  const uploads: { readonly name: string; readonly chunks: Uint8Array[] }[] = [];
  const refuse = (refusal: Refusal): void => void form.destroy(refusal);
  form.on("file", (field, content, fileName?: string) => {
    const upload = { name: fileName ?? field, chunks: [] as Uint8Array[] };
    uploads.push(upload);
    content.on("data", (chunk: Uint8Array) => upload.chunks.push(chunk));
    content.on("error", (error) => refuse(malformed(error)));
  });
  form.on("field", (field) => {
    refuse(
      new Refusal(
        "SERVE_FIELD",
        `the form has a field "${field}" without a file. Every part must be a picture's file.`,
      ),
    );
  });
  form.on("filesLimit", () => {
    refuse(new Refusal("SERVE_TOO_MANY", `the form has more than ${maxPictures} pictures. Ask in several requests.`));
  });
  await pipeline(body, form).catch((error: unknown) => {
    throw error instanceof Refusal ? error : malformed(error);
  });
  if (uploads.length === 0) throw new Refusal("SERVE_NO_PICTURE", "the form has no picture.");
  return uploads.map(({ name, chunks }) => ({ name, bytes: Buffer.concat(chunks) }));
}

function openForm(contentType: string, maxPictures: number): BusboyInstance {
  try {
    return new Busboy({ headers: { "content-type": contentType }, limits: { files: maxPictures }, preservePath: true });
  } catch (error) {
    throw malformed(error);
  }
}

function malformed(error: unknown): Refusal {
  const reason = error instanceof Error ? error.message : String(error);
  return new Refusal("SERVE_MULTIPART", `the form cannot be read: ${reason.replace(/\.$/, "")}.`);
}
