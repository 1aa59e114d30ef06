import { cp, mkdtemp, readFile, rm, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import sharp from "sharp";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { createImageLoader, decodeImage } from "../../src/images/index.js";

const PICTURES = fileURLToPath(new URL("../golden/decode/", import.meta.url));
const RGB = join(PICTURES, "rgb.png");
const QWEN = { patchSize: 14, mergeSize: 2, minPixels: 56 * 56, maxPixels: 12_845_056 };

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "thurstone-loader-"));
});
afterEach(() => rm(folder, { recursive: true }));

describe("createImageLoader", () => {
  it("describes a picture by content, source size and the size the model sees", async () => {
    const { hash } = await decodeImage(RGB);
    expect(await createImageLoader(QWEN).describe(RGB)).toEqual({
      key: `${hash}-84x56`,
      hash,
      height: 17,
      width: 23,
      targetHeight: 56,
      targetWidth: 84,
      exifRotated: false,
    });
  });

  it("decodes once for a description and the pixels behind it", async () => {
    const loader = createImageLoader(QWEN);
    await loader.describe(RGB);
    expect(await loader.pixels(RGB)).toEqual((await decodeImage(RGB)).pixels);
    expect(loader.stats).toEqual({ decoded: 1, remembered: 1, cachedBytes: 23 * 17 * 3 });
  });

  it("decodes a picture asked for twice at the same time once", async () => {
    const loader = createImageLoader(QWEN);
    const [first, second] = await Promise.all([loader.describe(RGB), loader.describe(RGB)]);
    expect(second).toEqual(first);
    expect(loader.stats.decoded).toBe(1);
  });

  it("remembers descriptions when pixels are no longer held", async () => {
    const loader = createImageLoader({ ...QWEN, cacheBytes: 0 });
    await loader.describe(RGB);
    await loader.describe(RGB);
    expect(loader.stats).toMatchObject({ decoded: 1, cachedBytes: 0 });
    expect((await loader.pixels(RGB)).length).toBe(23 * 17 * 3);
    expect(loader.stats.decoded).toBe(2);
  });

  it("remembers as many files as it is told, the last ones", async () => {
    const loader = createImageLoader({ ...QWEN, remembered: 2 });
    const [first, second, third] = ["rgb.png", "grey.png", "444.jpg"].map((name) => join(PICTURES, name));
    for (const path of [first!, second!, third!]) await loader.describe(path);
    await loader.describe(second!);
    expect(loader.stats.decoded).toBe(3);
    const { hash } = await loader.describe(first!);
    expect(loader.stats.decoded).toBe(4);
    // Forgotten or not, the pixels are those of the file.
    await loader.describe(second!);
    await loader.describe(third!);
    expect(await loader.pixels(first!)).toEqual((await decodeImage(first!)).pixels);
    expect((await loader.describe(first!)).hash).toBe(hash);
  });

  it("keeps the pixels used last within its limit", async () => {
    const loader = createImageLoader({ ...QWEN, cacheBytes: 2 * 23 * 17 * 3 });
    const [first, second, third] = ["rgb.png", "grey.png", "444.jpg"].map((name) => join(PICTURES, name));
    await loader.describe(first!);
    await loader.describe(second!);
    await loader.pixels(first!);
    await loader.describe(third!);
    expect(loader.stats).toMatchObject({ decoded: 3, cachedBytes: 2 * 23 * 17 * 3 });
    await loader.pixels(first!);
    await loader.pixels(third!);
    expect(loader.stats.decoded).toBe(3);
    await loader.pixels(second!);
    expect(loader.stats.decoded).toBe(4);
  });

  it("gives two files of the same content the same key, and other limits another", async () => {
    const loader = createImageLoader(QWEN);
    const { key } = await loader.describe(RGB);
    expect((await loader.describe(join(PICTURES, "lossless.webp"))).key).toBe(key);
    const larger = await createImageLoader({ ...QWEN, minPixels: 50_176 }).describe(RGB);
    expect(larger).toMatchObject({ targetHeight: 196, targetWidth: 280 });
    expect(larger.key).not.toBe(key);
  });

  it("notices that a file was replaced", async () => {
    const loader = createImageLoader(QWEN);
    const path = join(folder, "changing.png");
    await cp(RGB, path);
    const before = await loader.describe(path);
    await cp(join(PICTURES, "grey.png"), path);
    await utimes(path, 1_000_000, 1_000_000);
    const after = await loader.describe(path);
    expect(after.hash).not.toBe(before.hash);
  });

  it("never gives the pixels of another picture than the one described", async () => {
    const path = join(folder, "swapped.png");
    for (const cacheBytes of [0, 1_000_000]) {
      const loader = createImageLoader({ ...QWEN, cacheBytes });
      await cp(RGB, path);
      await loader.describe(path);
      await cp(join(PICTURES, "grey.png"), path);
      const pixels = loader.pixels(path);
      if (cacheBytes > 0) expect(await pixels).toEqual((await decodeImage(RGB)).pixels);
      else await expect(pixels).rejects.toMatchObject({ code: "DATA_IMAGE_CHANGED" });
    }
  });

  it("tries a broken file again once it is repaired", async () => {
    const loader = createImageLoader(QWEN);
    const path = join(folder, "repaired.png");
    await writeFile(path, "nothing");
    await expect(loader.describe(path)).rejects.toMatchObject({ code: "DATA_IMAGE_BROKEN" });
    await cp(RGB, path);
    await expect(loader.describe(path)).resolves.toMatchObject({ width: 23 });
  });

  it("keeps other pictures going when one is broken", async () => {
    const loader = createImageLoader({ ...QWEN, concurrency: 1 });
    const broken = join(folder, "broken.png");
    await writeFile(broken, "nothing");
    const results = await Promise.allSettled([broken, RGB, broken, RGB].map((path) => loader.describe(path)));
    expect(results.map(({ status }) => status)).toEqual(["rejected", "fulfilled", "rejected", "fulfilled"]);
  });

  it("takes the bytes of a file for the file, and decodes them once", async () => {
    const loader = createImageLoader(QWEN);
    const bytes = await readFile(RGB);
    expect(await loader.describe(bytes)).toEqual(await createImageLoader(QWEN).describe(RGB));
    expect(await loader.pixels(bytes)).toEqual((await decodeImage(RGB)).pixels);
    expect(loader.stats).toMatchObject({ decoded: 1 });
    await expect(loader.describe(Uint8Array.of(1))).rejects.toMatchObject({
      code: "DATA_IMAGE_BROKEN",
      message: expect.stringContaining("the picture cannot be decoded") as string,
    });
  });

  it("names the file in every refusal", async () => {
    const long = join(folder, "long.png");
    await sharp({ create: { width: 402, height: 2, channels: 3, background: "red" } })
      .png()
      .toFile(long);
    const loader = createImageLoader(QWEN);
    await expect(loader.describe(long)).rejects.toMatchObject({
      code: "DATA_IMAGE_TOO_LONG",
      message: expect.stringContaining(long) as string,
    });
    await expect(createImageLoader({ ...QWEN, minPixels: 0 }).describe(RGB)).resolves.toMatchObject({
      targetWidth: 28,
    });
    const tiny = join(folder, "tiny.png");
    await sharp({ create: { width: 100, height: 10, channels: 3, background: "red" } })
      .png()
      .toFile(tiny);
    await expect(createImageLoader({ ...QWEN, minPixels: 0 }).describe(tiny)).rejects.toMatchObject({
      code: "DATA_IMAGE_TOO_SMALL",
      message: expect.stringContaining(tiny) as string,
    });
    await expect(loader.describe(join(folder, "gone.png"))).rejects.toMatchObject({ code: "DATA_IMAGE_MISSING" });
  });
});
