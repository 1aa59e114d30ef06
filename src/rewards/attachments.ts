/**
 * What a reward may record beside its value: columns and pictures, within limits, because a run keeps them all.
 *
 * @module
 */

/** A cell of the rollout record. */
export type RewardColumn = string | number | boolean | null;

/** A picture to look at, not one that a model sees. */
export interface RewardImage {
  /** Decoded pixels, uint8 [height, width, 3], red first. */
  readonly data: Uint8Array;
  readonly width: number;
  readonly height: number;
}

/** What is recorded with a completion. */
export interface RewardAttachment {
  /** Cells by name: why a judge said what it said, an intermediate result. */
  readonly columns?: Readonly<Record<string, RewardColumn>>;
  /** Pictures by name: a heat map, a crop. The run keeps a small copy. */
  readonly images?: Readonly<Record<string, RewardImage>>;
}

/** Per completion and reward, but for the last one. */
export const ATTACHMENT_LIMITS = {
  columns: 32,
  /** Characters of a text. */
  text: 10_000,
  images: 4,
  /** Pixels of a picture. */
  pixels: 2 ** 22,
  /** Bytes of all pictures of a reward in one step. */
  stepBytes: 2 ** 28,
} as const;

const NAME = /^[\w.-]{1,64}$/;

/** @returns what is wrong with an attachment, in words; null when nothing is */
export function attachmentProblem({ columns, images }: RewardAttachment): string | null {
  if (columns !== undefined && !isRecord(columns)) return "columns that are no record of cells by name";
  if (images !== undefined && !isRecord(images)) return "images that are no record of pictures by name";
  const cells = Object.entries(columns ?? {});
  const pictures = Object.entries(images ?? {});
  const { columns: mostCells, images: mostPictures } = ATTACHMENT_LIMITS;
  if (cells.length > mostCells) return `${cells.length} columns; at most ${mostCells} are kept`;
  if (pictures.length > mostPictures) return `${pictures.length} images; at most ${mostPictures} are kept`;
  const unnamed = [...cells, ...pictures].find(([name]) => !NAME.test(name));
  if (unnamed !== undefined) {
    return `something named ${JSON.stringify(unnamed[0])}; a name has 1 to 64 letters, digits, "_", "-" and "."`;
  }
  for (const [name, cell] of cells) {
    const problem = cellProblem(cell);
    if (problem !== null) return `a column "${name}" that is ${problem}`;
  }
  for (const [name, image] of pictures) {
    const problem = imageProblem(image);
    if (problem !== null) return `an image "${name}" ${problem}`;
  }
  return null;
}

/** Bytes of an attachment's pictures. */
export function imageBytes({ images = {} }: RewardAttachment): number {
  return Object.values(images).reduce((sum, { data }) => sum + data.length, 0);
}

function cellProblem(cell: unknown): string | null {
  if (cell === null || typeof cell === "boolean") return null;
  if (typeof cell === "number") return Number.isFinite(cell) ? null : `${cell}; a number must be finite`;
  if (typeof cell !== "string") return `of type ${typeof cell}; expected a text, a number, true, false or null`;
  const { text } = ATTACHMENT_LIMITS;
  return cell.length <= text ? null : `${cell.length} characters long; at most ${text} are kept`;
}

function imageProblem(image: unknown): string | null {
  if (!isRecord(image) || !(image["data"] instanceof Uint8Array)) {
    return "without pixels; expected { data, width, height } with a Uint8Array of width x height x 3 bytes";
  }
  const { data, width, height } = image as unknown as RewardImage;
  const whole = [width, height].every((side) => Number.isInteger(side) && side >= 1);
  if (!whole || data.length !== width * height * 3) {
    return `with ${data.length} bytes for ${width} x ${height} pixels; expected 3 bytes for each pixel`;
  }
  const { pixels } = ATTACHMENT_LIMITS;
  return width * height <= pixels ? null : `of ${width} x ${height} pixels; at most ${pixels} pixels are kept`;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
