import { describe, expect, it } from "vitest";
import type { Picture } from "../../src/policy/index.js";
import { createPictureCopies } from "../../src/trainer/picture-copies.js";

function picture(key: string, pixels: () => Promise<Uint8Array> = async () => new Uint8Array(6)): Picture {
  return { key, hash: key, height: 1, width: 2, targetHeight: 28, targetWidth: 28, pixels };
}

describe("copies of pictures", () => {
  it("are written once per key, at source size", async () => {
    const written: unknown[] = [];
    const copies = createPictureCopies({ image: async (key, pixels) => void written.push([key, pixels]) });
    copies.add(picture("a"));
    copies.add(picture("b"));
    await copies.settle();
    copies.add(picture("a"));
    await copies.settle();
    const pixels = { data: new Uint8Array(6), width: 2, height: 1 };
    expect(written).toEqual([
      ["a", pixels],
      ["b", pixels],
    ]);
  });

  it("that fail are reported when they are waited for, and only once", async () => {
    const copies = createPictureCopies({ image: () => Promise.reject(new Error("disk full")) });
    copies.add(picture("a"));
    await new Promise((resolve) => setImmediate(resolve));
    await expect(copies.settle()).rejects.toThrow("disk full");
    await copies.settle();
  });
});
