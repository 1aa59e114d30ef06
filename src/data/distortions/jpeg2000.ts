/**
 * Compression: KADID's type 09, with OpenJPEG built to WebAssembly. The result depends on its version, by little.
 *
 * @module
 */
import type { OpenJpeg } from "@cornerstonejs/codec-openjpeg/wasmjs";
import { DataError } from "../../errors.js";
import type { RgbImage } from "./image.js";

/**
 * Bytes of an empty file: headers, and packets without contents. They are not counted, because a window of 56 pixels at
 * 400 : 1 has 24 bytes.
 */
const OVERHEAD = 180;
/** Of the wavelet transform; a small picture has room for fewer. */
const DECOMPOSITIONS = 5;

let loading: Promise<OpenJpeg> | null = null;

/** One copy for the process; loading takes some 30 ms. */
async function loadCodec(): Promise<OpenJpeg> {
  loading ??= import("@cornerstonejs/codec-openjpeg/wasmjs").then(({ default: create }) =>
    // The decoder tells about every header; what goes wrong it throws.
    create({ print: () => undefined }),
  );
  return loading;
}

/**
 * Irreversible wavelet transform, one layer.
 *
 * @param ratio of the picture's bytes to those of its coefficients
 * @throws DataError DATA_CODEC_FAILED
 */
export async function jpeg2000(image: RgbImage, ratio: number): Promise<RgbImage> {
  const codec = await loadCodec();
  try {
    return { ...image, pixels: decode(codec, encode(codec, image, ratio)) };
  } catch (error) {
    // What it leaves of its memory cannot be trusted.
    loading = null;
    throw new DataError(
      "DATA_CODEC_FAILED",
      `OpenJPEG could not compress a picture of ${image.width} x ${image.height} pixels ${ratio} : 1. Leave type 09 out for it.`,
      { cause: error, fields: { width: image.width, height: image.height, ratio } },
    );
  }
}

function encode(codec: OpenJpeg, { height, width, pixels }: RgbImage, ratio: number): Uint8Array {
  const encoder = new codec.J2KEncoder();
  encoder.getDecodedBuffer({ width, height, bitsPerSample: 8, componentCount: 3, isSigned: false }).set(pixels);
  encoder.setDecompositions(Math.min(DECOMPOSITIONS, Math.floor(Math.log2(Math.min(height, width)))));
  encoder.setQuality(false, 1);
  encoder.setCompressionRatio(0, pixels.length / (pixels.length / ratio + OVERHEAD));
  encoder.encode();
  const file = encoder.getEncodedBuffer().slice();
  encoder.delete();
  return file;
}

function decode(codec: OpenJpeg, file: Uint8Array): Uint8Array {
  const decoder = new codec.J2KDecoder();
  decoder.getEncodedBuffer(file.length).set(file);
  decoder.decode();
  // A copy: the buffer belongs to the codec.
  const pixels = new Uint8Array(decoder.getDecodedBuffer());
  decoder.delete();
  return pixels;
}
