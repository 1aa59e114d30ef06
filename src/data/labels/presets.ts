/**
 * The data sets of the field whose labels come as text, or as a spreadsheet saved as CSV.
 *
 * Besides its own files, a set's list in the form of VisualQuality-R1's `datasets/make_data.py` is read ("ref dist mos
 * std" and parts of it, white space between), with scores on the set's own scale. The terms of use are with each set's
 * authors, so `licence` is null where this program does not know them.
 *
 * @module
 */
import { distortions } from "../distortions/index.js";
import { parseKadidName } from "../kadid-name.js";
import type { LabelLayout, LabelPreset, NamedPicture } from "./preset.js";

const MADE = { format: "spaces", picture: "dist", mos: "mos" } as const;
/** Of sets with references and of sets without, as make_data.py takes them. */
const REF_DIST_MOS_STD: LabelLayout = { ...MADE, columns: ["ref", "dist", "mos", "std"], group: "ref", std: "std" };
const REF_DIST_MOS: LabelLayout = { ...MADE, columns: ["ref", "dist", "mos"], group: "ref" };
const DIST_MOS_STD: LabelLayout = { ...MADE, columns: ["dist", "mos", "std"], std: "std" };
const DIST_MOS: LabelLayout = { ...MADE, columns: ["dist", "mos"] };

const COMMON = { better: "higher", licence: null } as const;

export const labelPresets: readonly LabelPreset[] = [
  {
    ...COMMON,
    name: "kadid10k",
    dataset: "KADID-10k",
    layouts: [{ format: "csv", picture: "dist_img", group: "ref_img", mos: "dmos", variance: "var" }, REF_DIST_MOS_STD],
    // The column is called dmos and holds mean opinions.
    range: { min: 1, max: 5 },
    describe: describeKadid,
    rows: 10_125,
    source: "Lin, Hosu, Saupe: KADID-10k (QoMEX 2019)",
  },
  {
    ...COMMON,
    name: "tid2013",
    dataset: "TID2013",
    layouts: [{ format: "spaces", columns: ["mos", "name"], picture: "name", mos: "mos" }, REF_DIST_MOS],
    range: { min: 0, max: 9 },
    describe: describeTid,
    rows: 3000,
    source: "Ponomarenko et al.: Image database TID2013 (Signal Processing: Image Communication 30, 2015)",
  },
  {
    ...COMMON,
    name: "koniq10k",
    dataset: "KonIQ-10k",
    layouts: [
      {
        format: "csv",
        picture: "image_name",
        mos: "MOS",
        split: { column: "set", parts: { training: "train", validation: "val", test: "test" } },
        // koniq10k_distributions_sets.csv; the other file's MOS is on the raters' scale.
        range: { min: 0, max: 100 },
      },
      { format: "csv", picture: "image_name", mos: "MOS", std: "SD" },
      DIST_MOS_STD,
    ],
    range: { min: 1, max: 5 },
    rows: 10_073,
    source: "Hosu, Lin, Sziranyi, Saupe: KonIQ-10k (IEEE Transactions on Image Processing 29, 2020)",
  },
  {
    ...COMMON,
    name: "spaq",
    dataset: "SPAQ",
    layouts: [{ format: "csv", picture: "Image name", mos: "MOS" }, DIST_MOS_STD],
    range: { min: 0, max: 100 },
    rows: 11_125,
    source: "Fang, Zhu, Zeng, Ma, Wang: Perceptual quality assessment of smartphone photography (CVPR 2020)",
  },
  {
    ...COMMON,
    name: "livec",
    dataset: "LIVE Challenge",
    layouts: [DIST_MOS_STD, DIST_MOS],
    range: { min: 0, max: 100 },
    leaveOut: { matches: /^t\d+\.\w+$/i, why: "shown to the raters for practice" },
    rows: 1162,
    source: "Ghadiyaram, Bovik: Massive online crowdsourced study (IEEE Transactions on Image Processing 25, 2016)",
  },
  {
    ...COMMON,
    name: "bid",
    dataset: "BID",
    layouts: [
      { format: "csv", columns: ["image number", "grade"], skip: 1, picture: "image number", mos: "grade" },
      DIST_MOS,
    ],
    range: { min: 0, max: 5 },
    fileName: (cell) =>
      /^\d+(\.0*)?$/.test(cell) ? `DatabaseImage${String(Number(cell)).padStart(4, "0")}.JPG` : cell,
    rows: 586,
    source: "Ciancio et al.: No-reference blur assessment (IEEE Transactions on Image Processing 20, 2011)",
  },
  {
    ...COMMON,
    name: "csiq",
    dataset: "CSIQ",
    layouts: [{ format: "spaces", columns: ["name", "dmos"], picture: "name", mos: "dmos" }, REF_DIST_MOS],
    better: "lower",
    range: { min: 0, max: 1 },
    describe: (picture) => ({ group: picture.split(".")[0]! }),
    rows: 866,
    source: "Larson, Chandler: Most apparent distortion (Journal of Electronic Imaging 19, 2010)",
  },
  {
    ...COMMON,
    name: "pipal",
    dataset: "PIPAL",
    layouts: [{ format: "csv", columns: ["name", "elo"], picture: "name", mos: "elo" }, REF_DIST_MOS],
    range: null,
    describe: (picture) => ({ group: picture.split(/[_.]/)[0]! }),
    rows: 23_200,
    source: "Gu et al.: PIPAL (ECCV 2020)",
  },
  {
    ...COMMON,
    name: "agiqa3k",
    dataset: "AGIQA-3K",
    layouts: [
      { format: "csv", picture: "name", mos: "mos_quality", std: "std_quality", group: "prompt" },
      DIST_MOS_STD,
    ],
    range: { min: 0, max: 5 },
    rows: 2982,
    source: "Li et al.: AGIQA-3K (IEEE Transactions on Circuits and Systems for Video Technology 34, 2024)",
  },
  {
    ...COMMON,
    name: "paq2piq",
    dataset: "PaQ-2-PiQ",
    layouts: [
      {
        format: "csv",
        picture: "name",
        mos: "mos",
        split: { column: "is_valid", parts: { True: "val", False: "train" } },
      },
    ],
    range: { min: 0, max: 100 },
    rows: null,
    source: "Ying et al.: From patches to pictures (CVPR 2020)",
  },
  {
    ...COMMON,
    name: "liu13",
    dataset: "Liu13",
    layouts: [REF_DIST_MOS],
    range: { min: 1, max: 5 },
    rows: null,
    source: "Liu et al.: A no-reference metric for evaluating the quality of motion deblurring (SIGGRAPH Asia 2013)",
  },
  {
    ...COMMON,
    name: "min19",
    dataset: "Min19",
    layouts: [REF_DIST_MOS],
    range: { min: 1, max: 5 },
    rows: null,
    source: "Min et al.: Quality evaluation of image dehazing methods (IEEE Transactions on Multimedia 21, 2019)",
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
