/**
 * Data sets with several versions of each content: degraded, restored or enlarged.
 *
 * @module
 */
import { distortions } from "../distortions/index.js";
import { parseKadidName } from "../kadid-name.js";
import { POSITION } from "./binary/matlab.js";
import { DIST_MOS, REF_DIST_MOS, REF_DIST_MOS_STD } from "./layouts.js";
import type { LabelPreset, NamedPicture } from "./preset.js";

/** CSIQ's own sheet has no file names, but what they are made of. */
const CSIQ_TYPES: Readonly<Record<string, string>> = {
  noise: "AWGN",
  blur: "BLUR",
  contrast: "contrast",
  fnoise: "fnoise",
  jpeg: "JPEG",
  "jpeg 2000": "jpeg2000",
};

/** LIVE's vectors have no file names either: 227 pictures img1.bmp .. img227.bmp in jp2k, and so on. */
const LIVE_FOLDERS = [
  ["jp2k", 227],
  ["jpeg", 233],
  ["wn", 174],
  ["gblur", 174],
  ["fastfading", 174],
] as const;
const LIVE = {
  format: "mat",
  picture: POSITION,
  nameOf: (cells: Readonly<Record<string, string>>) => liveName(Number(cells[POSITION])),
  group: "refnames_all",
  leaveOut: { column: "orgs", value: "1", why: "copies of the originals (orgs is 1)" },
} as const;

export const versionPresets: readonly LabelPreset[] = [
  {
    name: "kadid10k",
    dataset: "KADID-10k",
    layouts: [
      // The column called dmos holds mean opinions, and the one called var their deviations: 28 times 5 and twice 4 is
      // 4.93, with a deviation of .249 and a variance of .062, and the list has 0.249 (I23_03_01.png).
      { format: "csv", picture: "dist_img", group: "ref_img", mos: "dmos", std: "var" },
      // The reference's list has the roots of those.
      { ...REF_DIST_MOS_STD, deviation: (cell) => cell * cell },
    ],
    better: "higher",
    range: { min: 1, max: 5 },
    describe: describeKadid,
    rows: 10_125,
    groups: 81,
    files: "`dmos.csv` (its column dmos holds mean opinions, var their standard deviations)",
    contents: "reference",
    source: "Lin, Hosu, Saupe: KADID-10k (QoMEX 2019)",
    licence: null,
  },
  {
    name: "tid2013",
    dataset: "TID2013",
    layouts: [{ format: "spaces", columns: ["mos", "name"], picture: "name", mos: "mos" }, REF_DIST_MOS],
    deviations: "spaces",
    better: "higher",
    range: { min: 0, max: 9 },
    describe: describeTid,
    rows: 3000,
    groups: 25,
    files: "`mos_with_names.txt`, with `mos_std.txt` for the deviations",
    contents: "reference, from the name",
    source: "Ponomarenko et al.: Image database TID2013 (Signal Processing: Image Communication 30, 2015)",
    licence: null,
  },
  {
    name: "csiq",
    dataset: "CSIQ",
    layouts: [
      {
        format: "csv",
        sheet: "all_by_image",
        picture: "image",
        named: ["dst_type", "dst_lev"],
        nameOf: csiqName,
        mos: "dmos",
        std: "dmos_std",
      },
      { format: "spaces", columns: ["name", "dmos"], picture: "name", mos: "dmos" },
      REF_DIST_MOS,
    ],
    better: "lower",
    range: { min: 0, max: 1 },
    describe: (picture) => ({ group: picture.split(".")[0]! }),
    rows: 866,
    groups: 30,
    files: "`csiq.DMOS.xlsx` (its sheet all_by_image), or `csiq_label.txt`",
    contents: "reference, from the name",
    source: "Larson, Chandler: Most apparent distortion (Journal of Electronic Imaging 19, 2010)",
    licence: null,
  },
  {
    name: "live",
    dataset: "LIVE",
    layouts: [
      { ...LIVE, mos: "dmos" },
      // Realigned scores leave the range a little at both ends.
      { ...LIVE, mos: "dmos_new", std: "dmos_std", range: null },
      REF_DIST_MOS,
    ],
    better: "lower",
    range: { min: 0, max: 100 },
    rows: 779,
    groups: 29,
    files: "`dmos.mat` or `dmos_realigned.mat`, and `refnames_all.mat`, together; copies of the originals are left out",
    contents: "reference",
    source: "Sheikh, Wang, Cormack, Bovik: LIVE Image Quality Assessment Database, release 2 (2006)",
    licence: "free with the University of Texas' copyright notice and acknowledgement",
  },
  {
    name: "pipal",
    dataset: "PIPAL",
    layouts: [{ format: "csv", columns: ["name", "elo"], picture: "name", mos: "elo" }, REF_DIST_MOS],
    better: "higher",
    range: null,
    describe: (picture) => ({ group: picture.split(/[_.]/)[0]! }),
    rows: 23_200,
    groups: 200,
    files: "a text file per reference",
    contents: "reference, from the name",
    source: "Gu et al.: PIPAL (ECCV 2020)",
    licence: null,
  },
  {
    name: "sriqa",
    dataset: "SRIQA-Bench",
    layouts: [{ format: "csv", columns: ["name", "score"], picture: "name", mos: "score" }, DIST_MOS, REF_DIST_MOS],
    better: "higher",
    // Of each original its worst picture has 0 and its best 100.
    range: { min: 0, max: 100 },
    describe: (picture) => ({ group: picture.split(/[_.]/)[0]! }),
    leaveOut: { matches: /_original\.\w+$/i, why: "the pictures that were enlarged" },
    rows: 1000,
    groups: 100,
    files: "a text file per original (`MOS/*.txt`: name, score); the originals themselves are left out",
    contents: "original, from the name",
    source: "Chen, Wu, Ma, Zhang: Toward generalized image quality assessment (CVPR 2025)",
    licence: null,
  },
  {
    name: "liu13",
    dataset: "Liu13",
    layouts: [REF_DIST_MOS],
    better: "higher",
    range: { min: 1, max: 5 },
    rows: null,
    groups: null,
    files: "text: reference, name, score",
    contents: "reference",
    source: "Liu et al.: A no-reference metric for evaluating the quality of motion deblurring (SIGGRAPH Asia 2013)",
    licence: null,
  },
  {
    name: "min19",
    dataset: "Min19",
    layouts: [REF_DIST_MOS],
    better: "higher",
    range: { min: 1, max: 5 },
    rows: null,
    groups: null,
    files: "text: reference, name, score",
    contents: "reference",
    source: "Min et al.: Quality evaluation of image dehazing methods (IEEE Transactions on Multimedia 21, 2019)",
    licence: null,
  },
];

function describeKadid(picture: string): NamedPicture {
  const named = parseKadidName(picture);
  if (named === null || named.level < 1 || named.level > 5) return {};
  return distortions.some(({ type }) => type === named.type) ? named : {};
}

/** `i07_03_2.bmp`; names begin with i or I within one list. */
function describeTid(picture: string): NamedPicture {
  const match = /^i(\d+)_(\d+)_(\d+)\.\w+$/i.exec(picture);
  return match === null ? {} : { group: `I${match[1]}`, type: match[2]!, level: Number(match[3]) };
}

function csiqName({ image, dst_type: type, dst_lev: level }: Readonly<Record<string, string>>): string | undefined {
  const word = CSIQ_TYPES[type!];
  return image === "" || word === undefined || !/^\d+$/.test(level!) ? undefined : `${image}.${word}.${level}.png`;
}

function liveName(position: number): string | undefined {
  let first = 1;
  for (const [folder, count] of LIVE_FOLDERS) {
    if (position < first + count) return `${folder}/img${position - first + 1}.bmp`;
    first += count;
  }
  return undefined;
}
