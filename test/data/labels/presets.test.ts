import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { labelPresets } from "../../../src/data/labels/presets.js";
import { readLabels, type Labels } from "../../../src/data/labels/read-labels.js";

const root = mkdtempSync(join(tmpdir(), "thurstone-labels-"));
afterAll(() => rmSync(root, { recursive: true }));

/** Labels of files in a data set's own format. */
async function read(preset: string, files: Readonly<Record<string, string>>): Promise<Labels> {
  const paths = Object.entries(files).map(([name, content]) => {
    writeFileSync(join(root, name), content);
    return join(root, name);
  });
  return readLabels(
    paths,
    labelPresets.find(({ name }) => name === preset)!,
  );
}

/** Without the place, which other tests look at. */
function shown({ labels, problems }: Labels): unknown[] {
  expect(problems).toEqual([]);
  return labels.map(({ file: _file, line: _line, ...label }) => label);
}

describe("presets", () => {
  it("read KADID-10k's list, and the one its reference implementation takes", async () => {
    const own = await read("kadid10k", {
      "dmos.csv": "dist_img,ref_img,dmos,var\nI01_01_01.png,I01.png,4.57,0.49\nI81_25_05.png,I81.png,3.27,0\n",
    });
    const first = { picture: "I01_01_01.png", mos: 4.57, std: 0.49, group: "I01", type: "01", level: 1 };
    const last = { picture: "I81_25_05.png", mos: 3.27, std: 0, group: "I81", type: "25", level: 5 };
    expect(shown(own)).toEqual([first, last]);
    expect(own.range).toEqual({ min: 1, max: 5 });
    // The roots of the deviations.
    const made = "I01.png I01_01_01.png 4.57 0.7\nI81.png I81_25_05.png 3.27 0";
    const rooted = shown(await read("kadid10k", { "mos.txt": made }));
    expect(rooted).toEqual([{ ...first, std: expect.closeTo(0.49, 12) as number }, last]);
  });

  it("read TID2013, whose names are of either case", async () => {
    const own = await read("tid2013", { "mos_with_names.txt": "5.51429 I01_01_1.bmp\r\n5.56757 i01_24_5.BMP\r\n" });
    expect(shown(own)).toEqual([
      { picture: "I01_01_1.bmp", mos: 5.51429, group: "I01", type: "01", level: 1 },
      { picture: "i01_24_5.BMP", mos: 5.56757, group: "I01", type: "24", level: 5 },
    ]);
  });

  it("read both of KonIQ-10k's files, each on its scale", async () => {
    const scores = await read("koniq10k", {
      "scores.csv":
        '"image_name","c1","c2","c3","c4","c5","c_total","MOS","SD","MOS_zscore"\n"1.jpg",0,0,25,73,7,105,3.83,0.5,78.1\n"2.jpg",0,3,45,47,1,96,3.48,0.6,66\n',
    });
    expect(shown(scores)).toEqual([
      { picture: "1.jpg", mos: 3.83, std: 0.5 },
      { picture: "2.jpg", mos: 3.48, std: 0.6 },
    ]);
    const sets = await read("koniq10k", {
      "sets.csv": "image_name,MOS,set\n1.jpg,78.1,training\n2.jpg,66,validation\n3.jpg,12,test\n",
    });
    expect(shown(sets).map((label) => (label as { part: string }).part)).toEqual(["train", "val", "test"]);
    expect([scores.range, sets.range]).toEqual([
      { min: 1, max: 5 },
      { min: 0, max: 100 },
    ]);
  });

  it("read SPAQ and BID from their sheets saved as CSV", async () => {
    const spaq = "\uFEFFImage name,MOS,Brightness\r\n00001.jpg,35.3,46\r\n00002.jpg,60,51\r\n";
    expect(shown(await read("spaq", { "spaq.csv": spaq }))).toEqual([
      { picture: "00001.jpg", mos: 35.3 },
      { picture: "00002.jpg", mos: 60 },
    ]);
    expect(shown(await read("bid", { "grades.csv": "Image,Average\n1,2.5\n586.0,4\n" }))).toEqual([
      { picture: "DatabaseImage0001.JPG", mos: 2.5 },
      { picture: "DatabaseImage0586.JPG", mos: 4 },
    ]);
    expect(shown(await read("bid", { "bid.txt": "DatabaseImage0001.JPG 2.5\nDatabaseImage0002.JPG 3" }))).toEqual([
      { picture: "DatabaseImage0001.JPG", mos: 2.5 },
      { picture: "DatabaseImage0002.JPG", mos: 3 },
    ]);
  });

  it("leave LIVE Challenge's pictures for practice out", async () => {
    const read7 = await read("livec", { "livec.txt": "t1.bmp 63.9 17\nT7.bmp 60 12\n3.bmp 70.1 15\n10.JPG 12 9\n" });
    expect(shown(read7)).toEqual([
      { picture: "3.bmp", mos: 70.1, std: 15 },
      { picture: "10.JPG", mos: 12, std: 9 },
    ]);
    expect(read7.leftOut.map(({ picture }) => picture)).toEqual(["t1.bmp", "T7.bmp"]);
  });

  it("read CSIQ and PIPAL with groups from names; PIPAL's list is a file per reference", async () => {
    const csiq = "1600.AWGN.1.png 0.061\n1600.fnoise.5.png 0.9\n";
    expect(shown(await read("csiq", { "csiq_label.txt": csiq }))).toEqual([
      { picture: "1600.AWGN.1.png", mos: 0.061, group: "1600" },
      { picture: "1600.fnoise.5.png", mos: 0.9, group: "1600" },
    ]);
    expect(labelPresets.find(({ name }) => name === "csiq")!.better).toBe("lower");
    const pipal = { "A0001.txt": "A0001_00_00.bmp,1422.6\n", "A0002.txt": "A0002_00_00.bmp,1511.9\n" };
    expect(shown(await read("pipal", pipal))).toEqual([
      { picture: "A0001_00_00.bmp", mos: 1422.6, group: "A0001" },
      { picture: "A0002_00_00.bmp", mos: 1511.9, group: "A0002" },
    ]);
  });

  it("read AGIQA-3K by prompt, PaQ-2-PiQ by its validation mark, Liu13 and Min19 by reference", async () => {
    const agiqa =
      'name,prompt,adj1,adj2,style,mos_quality,std_quality,mos_align,std_align\nAttnGAN_normal_000.jpg,"statue of a man, blurred",x,,anime,1.02,0.4,0.9,0.2\nDALLE2_000.jpg,"statue of a man, blurred",,,,3,0.3,1,1\n';
    expect(shown(await read("agiqa3k", { "data.csv": agiqa }))).toEqual([
      { picture: "AttnGAN_normal_000.jpg", mos: 1.02, std: 0.4, group: "statue of a man, blurred" },
      { picture: "DALLE2_000.jpg", mos: 3, std: 0.3, group: "statue of a man, blurred" },
    ]);
    const paq = "name,mos,is_valid\nvoc/1 a.jpg,71.5,False\nava/2.jpg,60,True\n";
    expect(shown(await read("paq2piq", { "labels_image.csv": paq }))).toEqual([
      { picture: "voc/1 a.jpg", mos: 71.5, part: "train" },
      { picture: "ava/2.jpg", mos: 60, part: "val" },
    ]);
    for (const preset of ["liu13", "min19"]) {
      expect(shown(await read(preset, { [`${preset}.txt`]: "r1.png d1.png 1.5\nr1.png d2.png 4" }))).toEqual([
        { picture: "d1.png", mos: 1.5, group: "r1.png" },
        { picture: "d2.png", mos: 4, group: "r1.png" },
      ]);
    }
  });
});

describe("what is wrong with labels", () => {
  it("is said of every line at once", async () => {
    const lines = [
      "dist_img,ref_img,dmos,var",
      "I01_01_01.png,I01.png,4.57,0.5",
      "I01_01_02.png,I01.png,good,0.5",
      "I01_01_03.png,I01.png,nan,-1",
      "",
      "I01_01_04.png,I02.png,5.5,0.5",
      "my photo.png,I01.png,2,0.5",
      ",I01.png,2,0.5",
      "I01_02_01.png,I01.png,2",
      "I01_01_01.png,I01.png,4.5,0.5",
      "I01_26_01.png,,3,0.5",
    ];
    const { labels, problems } = await read("kadid10k", { "broken.csv": lines.join("\r\n") });
    expect(labels.map(({ line }) => line)).toEqual([2]);
    expect(problems.map(({ line, message }) => `${line} ${message}`)).toEqual([
      '3 dmos is "good"; it must be a finite number.',
      '4 dmos is "nan"; it must be a finite number.',
      '4 var is "-1"; it must be a number, at least 0.',
      '6 dmos is "5.5"; scores of KADID-10k go from 1 to 5.',
      '6 ref_img is "I02.png"; it must be the picture that "I01_01_04.png" was made of.',
      '7 "my photo.png" is no file name in the manner of KADID-10k.',
      "8 dist_img is empty; it must be a picture's file name.",
      "9 the line has 3 columns; it must have 4: dist_img, ref_img, dmos, var.",
      "11 ref_img is empty; it must say which content the picture shows.",
      '11 "I01_26_01.png" is no file name in the manner of KADID-10k.',
      `10 "I01_01_01.png" stands already on line 2 of ${join(root, "broken.csv")}, with 4.57, and here 4.5. Give each picture once.`,
    ]);
  });

  it("is said of whole files: constant scores, another form, two scales, not there, no text", async () => {
    const codes = ({ problems }: Labels): string[] => problems.map(({ code }) => code);
    expect(codes(await read("livec", { "constant.txt": "1.bmp 50 1\n2.bmp 50 2" }))).toEqual(["DATA_CONSTANT_LABELS"]);
    const other = await read("kadid10k", { "other.csv": "name,mos\na.png,3" });
    expect(other.problems).toMatchObject([
      {
        code: "DATA_LABEL_COLUMNS",
        message:
          "is in none of the forms of KADID-10k: csv with dist_img, dmos, var, ref_img; or spaces with ref, dist, mos, std.",
      },
    ]);
    const koniq = { "one.csv": "image_name,MOS,SD\n1.jpg,3,1", "two.csv": "image_name,MOS,set\n2.jpg,80,test" };
    expect(codes(await read("koniq10k", koniq))).toEqual(["DATA_LABEL_SCALES"]);
    const [preset] = labelPresets;
    expect(codes(await readLabels([join(root, "nowhere.csv")], preset!))).toEqual(["DATA_FILE_UNREADABLE"]);
    expect(codes(await read("spaq", { "scores.xlsx": "PK" }))).toEqual(["DATA_TABLE_BROKEN"]);
    expect(codes(await read("spaq", { "scores.xls": "" }))).toEqual(["DATA_TABLE_FORMAT"]);
    const unknown = await read("koniq10k", { "sets.csv": "image_name,MOS,set\n1.jpg,3,training\n2.jpg,4,spare" });
    expect(unknown.problems.map(({ message }) => message)).toEqual([
      'set is "spare"; it must be one of training, validation, test.',
    ]);
  });
});
