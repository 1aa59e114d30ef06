/**
 * What leaves the image room: decoding, target sizes, and pictures by path.
 *
 * @module
 */
export { decodeImage, type DecodedImage, type DecodeOptions } from "./decode.js";
export { createGate, type Gate } from "./gate.js";
export { readImageSize } from "./image-size.js";
export {
  createImageLoader,
  type ImageInfo,
  type ImageLoader,
  type ImageLoaderOptions,
  type ImageLoaderStats,
  type PictureSource,
} from "./loader.js";
export { smartResize, type ImageSize, type SmartResizeOptions } from "./smart-resize.js";
