/**
 * The last decoded pictures, up to a number of bytes. What was used longest ago goes first.
 *
 * @module
 */

export interface PixelCache {
  get(hash: string): Uint8Array | undefined;
  /** Does not keep what is larger than the whole limit. */
  put(hash: string, pixels: Uint8Array): void;
  /** Bytes held now. */
  readonly bytes: number;
}

/** @param limit greatest sum of bytes held */
export function createPixelCache(limit: number): PixelCache {
  // A Map iterates in order of insertion: the first entry is the one used longest ago.
  const held = new Map<string, Uint8Array>();
  let bytes = 0;

  function drop(hash: string): Uint8Array | undefined {
    const pixels = held.get(hash);
    if (pixels === undefined) return undefined;
    held.delete(hash);
    bytes -= pixels.byteLength;
    return pixels;
  }

  function put(hash: string, pixels: Uint8Array): void {
    drop(hash);
    if (pixels.byteLength > limit) return;
    held.set(hash, pixels);
    bytes += pixels.byteLength;
    for (const oldest of held.keys()) {
      if (bytes <= limit) break;
      drop(oldest);
    }
  }

  return {
    put,
    get(hash) {
      const pixels = drop(hash);
      if (pixels !== undefined) put(hash, pixels);
      return pixels;
    },
    get bytes() {
      return bytes;
    },
  };
}
