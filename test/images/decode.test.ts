import { createHash } from "node:crypto";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { inflateSync } from "node:zlib";
import sharp from "sharp";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { DataError } from "../../src/errors.js";
import { decodeImage } from "../../src/images/index.js";

const PICTURES = fileURLToPath(new URL("../golden/decode/", import.meta.url));
const golden = JSON.parse(await readFile(join(PICTURES, "expected.json"), "utf8")) as {
  readonly pillow: string;
  readonly files: Readonly<
    Record<string, { readonly width: number; readonly height: number; readonly sha256: string }>
  >;
};
/** Where sharp and Pillow differ on purpose; each has a test of its own. */
const DIFFERENT = ["cmyk.jpg", "grey-16-bit.png"];

const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

async function failure(input: string | Uint8Array, options = {}): Promise<DataError> {
  const error: unknown = await decodeImage(input, options).then(
    () => null,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(DataError);
  return error as DataError;
}

describe("decodeImage against Pillow 12.3", () => {
  const names = Object.keys(golden.files).filter((name) => !DIFFERENT.includes(name));

  it("covers the formats that data sets come in", () => {
    expect(golden.pillow).toMatch(/^12\.3\./);
    expect(names.length).toBe(25);
  });

  it.each(names)("%s decodes to the same bytes", async (name) => {
    const { width, height, sha256: expected } = golden.files[name]!;
    const image = await decodeImage(join(PICTURES, name));
    expect([image.width, image.height, sha256(image.pixels)]).toEqual([width, height, expected]);
  });

  it("applies EXIF orientation and says so", async () => {
    const turned = await decodeImage(join(PICTURES, "orientation-6.jpg"));
    const upright = await decodeImage(join(PICTURES, "orientation-1.jpg"));
    expect([turned.width, turned.height, turned.exifRotated]).toEqual([17, 23, true]);
    expect([upright.width, upright.height, upright.exifRotated]).toEqual([23, 17, false]);
  });

  it("scales 16-bit grey by its upper byte", async () => {
    const file = await readFile(join(PICTURES, "grey-16-bit.png"));
    const start = file.indexOf("IDAT") + 4;
    const rows = inflateSync(file.subarray(start, start + file.readUInt32BE(start - 8)));
    const upper = Array.from({ length: 17 * 23 }, (_, at) => rows[Math.floor(at / 23) * 47 + 1 + (at % 23) * 2]!);
    const { pixels } = await decodeImage(file);
    expect([...pixels]).toEqual(upper.flatMap((value) => [value, value, value]));
  });

  it("refuses CMYK and says what to do", async () => {
    const error = await failure(join(PICTURES, "cmyk.jpg"));
    expect(error.code).toBe("DATA_IMAGE_UNSUPPORTED");
    expect(error.message).toContain("cmyk.jpg");
    expect(error.message).toContain("Convert it to sRGB");
  });
});

describe("decodeImage", () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "thurstone-decode-"));
  });
  afterAll(() => rm(folder, { recursive: true }));

  it("hashes size and pixels, not the file", async () => {
    const png = await decodeImage(join(PICTURES, "rgb.png"));
    const webp = await decodeImage(join(PICTURES, "lossless.webp"));
    const jpeg = await decodeImage(join(PICTURES, "444.jpg"));
    expect(png.hash).toMatch(/^[0-9a-f]{64}$/);
    expect(webp.hash).toBe(png.hash);
    expect(jpeg.hash).not.toBe(png.hash);

    const black = { create: { width: 4, height: 6, channels: 3, background: "black" } } as const;
    const upright = await decodeImage(await sharp(black).png().toBuffer());
    const lying = await decodeImage(await sharp(black).rotate(90).png().toBuffer());
    expect(sha256(lying.pixels)).toBe(sha256(upright.pixels));
    expect(lying.hash).not.toBe(upright.hash);
  });

  it("takes bytes as well as paths", async () => {
    const path = join(PICTURES, "rgb.png");
    expect(await decodeImage(await readFile(path))).toEqual(await decodeImage(path));
  });

  it.each([
    ["a truncated JPEG", "cut.jpg", async () => (await readFile(join(PICTURES, "420.jpg"))).subarray(0, 800)],
    ["a truncated PNG", "cut.png", async () => (await readFile(join(PICTURES, "rgb-16-bit.png"))).subarray(0, 900)],
    ["an empty file", "empty.png", () => Promise.resolve(new Uint8Array(0))],
    ["a text file named .png", "text.png", () => Promise.resolve(Buffer.from("not a picture\n"))],
  ])("refuses %s by name", async (_, name, bytes) => {
    const path = join(folder, name);
    await writeFile(path, await bytes());
    const error = await failure(path);
    expect(error.code).toBe("DATA_IMAGE_BROKEN");
    expect(error.message).toContain(path);
  });

  it("refuses drawings, which are programs", async () => {
    const svg = Buffer.from('<svg xmlns="http://www.w3.org/2000/svg" width="8" height="8"></svg>');
    const error = await failure(svg);
    expect(error.code).toBe("DATA_IMAGE_UNSUPPORTED");
    expect(error.message).toContain("svg");
  });

  it("refuses a picture over the limit from its header alone", async () => {
    const error = await failure(join(PICTURES, "rgb.png"), { maxInputPixels: 390 });
    expect(error.code).toBe("DATA_IMAGE_TOO_LARGE");
    expect(error.message).toContain("23 x 17 pixels");
    expect(error.message).toContain("390");
    await expect(decodeImage(join(PICTURES, "rgb.png"), { maxInputPixels: 391 })).resolves.toMatchObject({ width: 23 });
  });

  it("says which file is gone", async () => {
    const error = await failure(join(folder, "nowhere.png"));
    expect(error.code).toBe("DATA_IMAGE_MISSING");
    expect(error.message).toContain("nowhere.png");
  });
});
