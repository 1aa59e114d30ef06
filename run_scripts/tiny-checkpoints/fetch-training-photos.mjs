/**
 * Fetches photographs that the small checkpoints are trained on and that this repository does not carry, because their
 * licence (GPL-2+ for the two Debian packages) does not go with it. None of them is a bundled photograph.
 *
 *   node run_scripts/tiny-checkpoints/fetch-training-photos.mjs [FOLDER]      default output/training-photos
 *
 * Needs apt-get, dpkg and pip; downloads about 160 MB into a temporary folder. Drawings among the packages' pictures are
 * left out by name: look at a picture before you add it.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createFetcher } from "../lib/packages.mjs";
import { writeScaledPhoto } from "../lib/photos.mjs";

const PLASMA = [
  "BytheWater",
  "ColdRipple",
  "ColorfulCups",
  "DarkestHour",
  "EveningGlow",
  "FallenLeaf",
  "Grey",
  "Kite",
  "OneStandsOut",
  "Path",
  "summer_1am",
];
const MATE = [
  "Aqua",
  "Blinds",
  "Dune",
  "FreshFlower",
  "Garden",
  "GreenMeadow",
  "LadyBird",
  "RainDrops",
  "Storm",
  "TwoWings",
  "Wood",
  "YellowFlower",
];
/** Brick, grass and gravel are CC0; the motorcycle is of the Middlebury stereo data set. */
const SKIMAGE = ["brick", "grass", "gravel", "motorcycle_left"];

const slug = (name) => name.replaceAll(/(?<=[a-z])(?=[A-Z])|_/g, "-").toLowerCase();

function photographs(fetcher) {
  const plasma = fetcher.debian("plasma-workspace-wallpapers");
  const mate = fetcher.debian("mate-backgrounds");
  const skimage = fetcher.pypi("scikit-image", "0.26.0");
  return [
    ...PLASMA.map((name) => ({
      from: join(plasma, "usr/share/wallpapers", name, "contents/images/2560x1600.jpg"),
      to: `plasma-${slug(name)}.jpg`,
    })),
    ...MATE.map((name) => ({
      from: join(mate, "usr/share/backgrounds/mate/nature", `${name}.jpg`),
      to: `mate-${slug(name)}.jpg`,
    })),
    ...SKIMAGE.map((name) => ({
      from: join(skimage, "skimage/data", `${name}.png`),
      to: `skimage-${slug(name)}.jpg`,
    })),
  ];
}

const out = resolve(process.argv[2] ?? "output/training-photos");
const folder = mkdtempSync(join(tmpdir(), "thurstone-training-photos-"));
try {
  const photos = photographs(createFetcher(folder));
  mkdirSync(out, { recursive: true });
  for (const { from, to } of photos) await writeScaledPhoto(from, join(out, to));
  writeFileSync(join(out, "COUNT"), `${photos.length}\n`);
  process.stdout.write(`${photos.length} photographs in ${out}\n`);
} finally {
  rmSync(folder, { recursive: true, force: true });
}
