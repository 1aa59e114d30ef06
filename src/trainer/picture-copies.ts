/**
 * Small copies of the pictures that a run's completions speak of, written beside the training.
 *
 * @module
 */
import type { Picture } from "../policy/index.js";
import type { RunWriter } from "../runs/index.js";

/** Pictures on their way into the run folder. */
export interface PictureCopies {
  /** Begins to write the copy of a picture, once for each key. */
  add(picture: Pick<Picture, "key" | "width" | "height" | "pixels">): void;
  /** Waits for what was begun. @throws RunError of the first copy that could not be written */
  settle(): Promise<void>;
}

/** Copies go into `images/` of the run folder under the key that rollout records carry. */
export function createPictureCopies(writer: Pick<RunWriter, "image">): PictureCopies {
  const known = new Set<string>();
  let pending: Promise<void>[] = [];
  return {
    add(picture) {
      const { key, width, height } = picture;
      if (known.has(key)) return;
      known.add(key);
      const written = picture.pixels().then((data) => writer.image(key, { data, width, height }));
      // Waited for in `settle`; until then its failure must not be an unhandled one.
      written.catch(() => undefined);
      pending.push(written);
    },
    async settle() {
      const begun = pending;
      pending = [];
      await Promise.all(begun);
    },
  };
}
