/**
 * Data sets of photographs and generated pictures, each judged by itself.
 *
 * @module
 */
import { DIST_MOS, DIST_MOS_STD } from "./layouts.js";
import type { LabelLayout, LabelPreset } from "./preset.js";

export const photoPresets: readonly LabelPreset[] = [
  {
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
    better: "higher",
    range: { min: 1, max: 5 },
    rows: 10_073,
    groups: 10_073,
    files: "`koniq10k_scores_and_distributions.csv`, or `koniq10k_distributions_sets.csv` (0 to 100)",
    contents: "each picture; split by `set`",
    source: "Hosu, Lin, Sziranyi, Saupe: KonIQ-10k (IEEE Transactions on Image Processing 29, 2020)",
    licence: null,
  },
  {
    name: "spaq",
    dataset: "SPAQ",
    layouts: [{ format: "csv", picture: "Image name", mos: "MOS" }, DIST_MOS_STD],
    better: "higher",
    range: { min: 0, max: 100 },
    rows: 11_125,
    groups: 11_125,
    files: "`MOS and Image attribute scores.xlsx`",
    contents: "each picture",
    source: "Fang, Zhu, Zeng, Ma, Wang: Perceptual quality assessment of smartphone photography (CVPR 2020)",
    licence: null,
  },
  {
    name: "livec",
    dataset: "LIVE Challenge",
    layouts: [
      { format: "mat", picture: "AllImages_release", mos: "AllMOS_release", std: "AllStdDev_release" },
      DIST_MOS_STD,
      DIST_MOS,
    ],
    better: "higher",
    range: { min: 0, max: 100 },
    leaveOut: { matches: /^t\d+\.\w+$/i, why: "shown to the raters for practice" },
    rows: 1162,
    groups: 1162,
    files:
      "`AllImages_release.mat`, `AllMOS_release.mat` and `AllStdDev_release.mat` together, or text: name, score, deviation; the pictures for practice (t1 to t7) are left out",
    contents: "each picture",
    source: "Ghadiyaram, Bovik: Massive online crowdsourced study (IEEE Transactions on Image Processing 25, 2016)",
    licence: "free with the University of Texas' copyright notice and acknowledgement",
  },
  {
    name: "bid",
    dataset: "BID",
    layouts: [
      bid({ format: "csv", picture: "Image Number", mos: "Average Subjective Grade" }),
      bid({
        format: "csv",
        columns: ["image number", "grade"],
        skip: 1,
        picture: "image number",
        mos: "grade",
      }),
      bid(DIST_MOS),
    ],
    better: "higher",
    range: { min: 0, max: 5 },
    rows: 586,
    groups: 586,
    files: "`DatabaseGrades.xlsx`",
    contents: "each picture",
    source: "Ciancio et al.: No-reference blur assessment (IEEE Transactions on Image Processing 20, 2011)",
    licence: null,
  },
  {
    name: "agiqa3k",
    dataset: "AGIQA-3K",
    layouts: [
      { format: "csv", picture: "name", mos: "mos_quality", std: "std_quality", group: "prompt" },
      DIST_MOS_STD,
    ],
    better: "higher",
    range: { min: 0, max: 5 },
    rows: 2982,
    groups: null,
    files: "`data.csv` (mos_quality)",
    contents: "prompt",
    source: "Li et al.: AGIQA-3K (IEEE Transactions on Circuits and Systems for Video Technology 34, 2024)",
    licence: null,
  },
  {
    name: "paq2piq",
    dataset: "PaQ-2-PiQ",
    layouts: [
      {
        format: "csv",
        picture: "name",
        mos: "mos",
        split: { column: "is_valid", parts: { true: "val", false: "train" } },
      },
      { format: "csv", picture: "name", mos: "mos" },
    ],
    partLists: [
      // labels=640_padded.csv, then labels640.csv: the pictures that are more than 640 pixels wide or high.
      {
        format: "csv",
        picture: "name_image",
        part: { column: "is_valid", parts: { true: "val", false: "train" } },
      },
      { format: "csv", picture: "name_image", part: "test" },
    ],
    better: "higher",
    range: { min: 0, max: 100 },
    rows: 39_810,
    groups: 39_810,
    files: "`labels_image.csv`, with `labels=640_padded.csv` (validation) and `labels640.csv` (test)",
    contents: "each picture; split by the two other files, or by `is_valid`",
    source: "Ying et al.: From patches to pictures (CVPR 2020)",
    licence: "CC BY-NC-SA 4.0 (of the repository with the label files)",
  },
];

/** BID's sheet has numbers where the pictures have names. */
function bid(layout: LabelLayout): LabelLayout {
  return {
    ...layout,
    nameOf: (cells) => {
      const cell = cells[layout.picture]!;
      return /^\d+(\.0*)?$/.test(cell) ? `DatabaseImage${String(Number(cell)).padStart(4, "0")}.JPG` : cell;
    },
  };
}
