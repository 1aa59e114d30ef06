/**
 * From rows to what a worker is asked with: chat messages and pictures. Training, evaluation and scoring share this path.
 *
 * @module
 */
import type { SharedConfig } from "../config/index.js";
import type { Row } from "../data/index.js";
import { DataError } from "../errors.js";
import { createImageLoader } from "../images/index.js";
import type { ImageLoader } from "../images/index.js";
import type { ModelDescription, Picture, PreparedPrompt } from "../policy/index.js";
import { buildMessages } from "../prompts/index.js";

/** Prepares rows for a model, whose own constants decide how large its pictures are. */
export type Preparer = (rows: readonly Row[], description: ModelDescription) => Promise<PreparedPrompt<Row>[]>;

/** Where pictures come from. */
export interface PreparerOptions {
  /** Pictures by the name that rows call them by, as the bytes of a file, where they are no files. */
  readonly pictures?: ReadonlyMap<string, Uint8Array>;
  /** Files of which size and hash are remembered, the last ones. Default: all. */
  readonly rememberedPictures?: number;
  /** What is shown in a picture's place. Default: itself. */
  readonly replacePicture?: (picture: Picture) => Picture;
}

/** @throws DataError that names picture and row (when preparing) */
export function createPreparer(
  config: Pick<SharedConfig, "question_template">,
  { pictures, rememberedPictures, replacePicture = (picture) => picture }: PreparerOptions = {},
): Preparer {
  let loader: ImageLoader | undefined;
  return (rows, description) => {
    const limit = rememberedPictures !== undefined && { remembered: rememberedPictures };
    const images = (loader ??= createImageLoader({ ...description.image, ...limit }));
    const picture = async (name: string): Promise<Picture> => {
      const source = pictures?.get(name) ?? name;
      return replacePicture({ ...(await images.describe(source)), pixels: () => images.pixels(source) });
    };
    return Promise.all(
      rows.map(async (row) => ({
        row,
        source: row.source,
        messages: buildMessages(row, config.question_template).map(({ role, content }) => ({
          role,
          content: typeof content === "string" ? content : content.map((part) => ({ ...part })),
        })),
        images: await namingRow(row, () => Promise.all(row.images.map(picture))),
      })),
    );
  };
}

async function namingRow<T>(row: Row, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof DataError)) throw error;
    const { file, line } = row.source;
    throw new DataError(
      error.code,
      `${error.message} The picture belongs to row ${row.id}, line ${line} of data file ${file + 1}.`,
      { cause: error, fields: { ...error.fields, row: row.id, line } },
    );
  }
}
