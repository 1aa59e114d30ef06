/**
 * The flags of `thurstone prepare`.
 *
 * @module
 */
import { InvalidArgumentError, Option, type Command as Program } from "commander";
import type { GenericListOptions, LabelRange, TableFormat } from "../data/index.js";
import type { CommandIo } from "./io.js";
import { integer } from "./numbers.js";
import type { PrepareCommandOptions } from "./prepare.js";

interface PrepareFlags extends Pick<
  PrepareCommandOptions,
  "preset" | "images" | "normalise" | "split" | "seed" | "licence" | "skipBroken" | "overwrite" | "json" | "imageCheck"
> {
  readonly labels?: string[];
  readonly out?: string;
  readonly listPresets: boolean;
  readonly reference_parity: boolean;
  readonly name?: string;
  readonly format?: TableFormat;
  readonly columns?: string[];
  readonly sheet?: string;
  readonly imageColumn?: string;
  readonly mosColumn?: string;
  readonly stdColumn?: string;
  readonly groupColumn?: string;
  readonly splitColumn?: string;
  readonly lowerBetter?: boolean;
  readonly range?: LabelRange;
}

export function addPrepare(program: Program, io: CommandIo): void {
  program
    .command("prepare")
    .description("turn a data set's own label files into data files for training, validation and test")
    .option("--labels <files...>", "label files; several are one list")
    .option("--out <folder>", "where train.jsonl, val.jsonl, test.jsonl and report.json go")
    .option("--preset <name>", "a data set that is known: kadid10k, tid2013, koniq10k ... (--list-presets)")
    .option("--list-presets", "print what is known of each data set, and do nothing else", false)
    .option("--images <folder>", "the pictures, in it or in folders within: each is looked for and decoded")
    .option("--no-image-check", "neither look for pictures nor decode them: rows name them as the list does")
    .addOption(
      new Option("--normalise <by>", "range that becomes 1 to 5; default: nominal if there is one, else train").choices(
        ["nominal", "train", "all"],
      ),
    )
    .option("--reference_parity", "as the reference: by the least and greatest score of all rows", false)
    .addOption(
      new Option("--split <kind>", "auto: official where the labels have one")
        .choices(["auto", "official", "seeded"])
        .default("auto"),
    )
    .option("--seed <number>", "of the seeded split", integer, 42)
    .option("--licence <text>", "terms of use, for the header")
    .option("--skip-broken", "leave lines and pictures with problems out, and list them in report.json", false)
    .option("--overwrite", "replace what an earlier call wrote", false)
    .option("--json", "machine-readable output", false)
    .optionsGroup("Without --preset:")
    .option("--image-column <name>", "column of the picture's file name")
    .option("--mos-column <name>", "column of the score")
    .option("--std-column <name>", "column of the standard deviation of opinions")
    .option("--group-column <name>", "column of the content (the reference picture), which is kept in one part")
    .option("--split-column <name>", "column of the part: train, val or test")
    .option("--columns <names>", "as a,b,c: the columns of a file without a header", (text) => text.split(","))
    .addOption(
      new Option("--format <format>", "default: by the file's ending").choices([
        "csv",
        "tsv",
        "spaces",
        "json",
        "jsonl",
        "xlsx",
        "parquet",
        "mat",
      ] satisfies TableFormat[]),
    )
    .option("--sheet <name>", "of a spreadsheet; default: the first")
    .option("--lower-better", "the scores say how bad a picture is")
    .option("--range <least,greatest>", "nominal range of the scores", range)
    .option("--name <name>", "name of the data set in the rows")
    .action(async (flags: PrepareFlags, command: Program) => {
      if (flags.listPresets) {
        const { listPresets } = await import("./prepare-presets.js");
        listPresets(flags, io);
        return;
      }
      const { prepareData } = await import("./prepare.js");
      await prepareData(await readFlags(flags, command), io);
    });
}

const OF_LISTS = {
  imageColumn: "--image-column",
  mosColumn: "--mos-column",
  stdColumn: "--std-column",
  groupColumn: "--group-column",
  splitColumn: "--split-column",
  columns: "--columns",
  format: "--format",
  sheet: "--sheet",
  lowerBetter: "--lower-better",
  range: "--range",
  name: "--name",
} as const satisfies Partial<Record<keyof PrepareFlags, string>>;

async function readFlags(flags: PrepareFlags, command: Program): Promise<PrepareCommandOptions> {
  const { labels, out, images, imageCheck, reference_parity: parity, normalise, preset } = flags;
  if (labels === undefined || out === undefined) command.error("error: give --labels FILE ... and --out FOLDER");
  if (imageCheck && images === undefined) {
    command.error("error: give --images FOLDER, or --no-image-check");
  }
  if (parity && normalise !== undefined && normalise !== "all") {
    command.error(`error: --reference_parity normalises by all rows, and --normalise says ${normalise}`);
  }
  const given = Object.entries(OF_LISTS).filter(([key]) => flags[key as keyof typeof OF_LISTS] !== undefined);
  if (preset !== undefined && given.length > 0) {
    command.error(
      `error: --preset knows what ${given.map(([, flag]) => flag).join(", ")} would say: give one or the other`,
    );
  }
  return {
    ...flags,
    labels,
    out,
    ...(parity && { normalise: "all" }),
    ...(preset === undefined && { list: await readList(labels[0]!, flags, command) }),
  };
}

async function readList(file: string, flags: PrepareFlags, command: Program): Promise<GenericListOptions> {
  const { imageColumn, mosColumn, name, format, columns, sheet, stdColumn, groupColumn, splitColumn, range } = flags;
  if (imageColumn === undefined || mosColumn === undefined || name === undefined) {
    command.error("error: give --preset NAME, or --name, --image-column and --mos-column");
  }
  const { formatOf } = await import("../data/index.js");
  return {
    dataset: name,
    format: format ?? formatOf(file),
    picture: imageColumn,
    mos: mosColumn,
    ...(columns !== undefined && { columns }),
    ...(sheet !== undefined && { sheet }),
    ...(stdColumn !== undefined && { std: stdColumn }),
    ...(groupColumn !== undefined && { group: groupColumn }),
    ...(splitColumn !== undefined && { split: splitColumn }),
    ...(flags.lowerBetter === true && { better: "lower" }),
    ...(range !== undefined && { range }),
  };
}

function range(text: string): LabelRange {
  const [min, max, ...rest] = text.split(",").map((number) => (number.trim() === "" ? Number.NaN : Number(number)));
  if (min === undefined || max === undefined || rest.length > 0 || !(min < max)) {
    throw new InvalidArgumentError("two numbers are expected, the smaller one first: 0,100.");
  }
  return { min, max };
}
