/**
 * The pictures a fake worker holds: their keys, and which of them a step still needs.
 *
 * @module
 */
import type { PlainMap, Tensors } from "../bridge/index.js";
import { WorkerError } from "../errors.js";

/** The picture cache of a fake worker. */
export interface FakePictures {
  /** The verb `images`. @returns the keys that are not held */
  receive(params: PlainMap, tensors: Tensors): string[];
  /** @throws WorkerError MISSING_IMAGES */
  need(images: readonly (readonly string[])[]): void;
}

interface Announced {
  readonly key: string;
  readonly height: number;
  readonly width: number;
}

/** @param limit pictures kept; those that a step pins always are */
export function createFakePictures(limit = Number.POSITIVE_INFINITY): FakePictures {
  /** Last step that pins each picture, -1 for none; in the order of use. */
  const held = new Map<string, number>();
  let released = 0;

  return {
    receive(params, tensors) {
      const listed = params["images"] as unknown as readonly Announced[];
      const step = (params["step"] as number | null) ?? -1;
      released = Math.max(released, (params["release_before"] as number | null) ?? 0);
      for (const [index, { key, height, width }] of listed.entries()) {
        const pixels = tensors[String(index)];
        if (pixels !== undefined && pixels.shape.join() !== [height, width, 3].join()) {
          throw new WorkerError("BAD_ARGUMENT", `picture ${key} has pixels of shape ${pixels.shape.join(" x ")}.`);
        }
        if (pixels === undefined && !held.has(key)) continue;
        const pinned = Math.max(step, held.get(key) ?? -1);
        held.delete(key);
        held.set(key, pinned);
      }
      for (const [key, pinned] of held) if (held.size > limit && pinned < released) held.delete(key);
      return listed.filter(({ key }) => !held.has(key)).map(({ key }) => key);
    },
    need(images) {
      const missing = images.flat().filter((key) => !held.has(key));
      if (missing.length > 0) {
        throw new WorkerError(
          "MISSING_IMAGES",
          `${missing.length} pictures are not held: ${missing.slice(0, 4).join(", ")}.`,
        );
      }
    },
  };
}
