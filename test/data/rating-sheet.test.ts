import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import sharp from "sharp";
import { afterAll, beforeAll, expect, it } from "vitest";
import { writeRatingSheet } from "../../src/data/index.js";
import type { RatedPicture } from "../../src/data/index.js";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "thurstone-sheet-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** Pictures of one grey each, the brighter the better, with names that XML would stumble over. */
async function pictures(greys: readonly number[]): Promise<RatedPicture[]> {
  return Promise.all(
    greys.map(async (grey) => {
      const path = join(folder, `<${grey}> & so on.png`);
      const background = { r: grey, g: grey, b: grey };
      await sharp({ create: { width: 400, height: 400, channels: 3, background } })
        .png()
        .toFile(path);
      return { path, score: 1 + grey / 64 };
    }),
  );
}

/** Greys in the middles of the places of both rows. */
async function shown(file: string): Promise<number[][]> {
  const { data, info } = await sharp(file).greyscale().raw().toBuffer({ resolveWithObject: true });
  const columns = Math.floor(info.width / 168);
  const at = (x: number, y: number): number => data[(y * info.width + x) * info.channels]!;
  return [24, 242].map((top) => Array.from({ length: columns }, (_, column) => at(8 + column * 168 + 80, top + 80)));
}

it("shows the best above and the worst below, as many as asked for", async () => {
  const file = join(folder, "sheet.png");
  await writeRatingSheet({ pictures: await pictures([250, 200, 150, 100, 50, 0]), file, count: 2 });
  expect(await shown(file)).toEqual([
    [250, 200],
    [50, 0],
  ]);
});

it("shows no picture twice where there are few", async () => {
  const file = join(folder, "few.png");
  await writeRatingSheet({ pictures: await pictures([240, 120, 10]), file });
  expect(await shown(file)).toEqual([
    [240, 120],
    [10, 255],
  ]);
});
