/**
 * Pictures with one to six shapes, drawn by code, and data files that ask how many there are.
 *
 * @module
 */
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import sharp from "sharp";
import { foldKey, uniform } from "thurstone/stats";

/** The right answers, by number of shapes from 1. */
export const WORDS = ["one", "two", "three", "four", "five", "six"] as const;

/** So far a model is taught to count by example. */
export const TAUGHT = 3;

export const QUESTION = "How many shapes are in the picture?";

/** How an answer is to be written. */
export const answerOf = (word: string): string => `<answer>${word}</answer>`;

/** Pixels of a side: four tokens of a model with patches of 14 that are merged two by two. */
const SIDE = 56;
/** Shapes stand in different cells of a grid, so that none hides another. */
const CELLS = 3;

/** A number in [0, 1) for each purpose. */
type Draw = (...purpose: number[]) => number;

/** An SVG with so many shapes: circles, squares and triangles of any colour, size, place and turn. */
export function drawShapes(count: number, draw: Draw): string {
  const dark = draw(0) < 0.5;
  const cell = SIDE / CELLS;
  const cells = Array.from({ length: CELLS ** 2 }, (_, index) => ({ index, order: draw(1, index) }))
    .toSorted((a, b) => a.order - b.order)
    .slice(0, count);
  const shapes = cells.map(({ index }) => {
    const radius = 4 + 3 * draw(2, index);
    const free = cell - 2 * radius;
    const x = (index % CELLS) * cell + radius + free * draw(3, index);
    const y = Math.floor(index / CELLS) * cell + radius + free * draw(4, index);
    const fill = colour(draw(5, index), dark ? 65 : 35);
    const turn = `rotate(${(360 * draw(6, index)).toFixed(0)} ${x} ${y})`;
    const side = 1.3 * radius;
    const kinds = [
      `<circle cx="${x}" cy="${y}" r="${0.85 * radius}" fill="${fill}"/>`,
      `<rect x="${x - side / 2}" y="${y - side / 2}" width="${side}" height="${side}" fill="${fill}" transform="${turn}"/>`,
      `<path d="M ${x} ${y - radius} L ${x + 0.87 * radius} ${y + radius / 2} L ${x - 0.87 * radius} ${y + radius / 2} Z" fill="${fill}" transform="${turn}"/>`,
    ];
    return kinds[Math.floor(kinds.length * draw(7, index))]!;
  });
  const ground = colour(draw(8), dark ? 15 : 85);
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${SIDE}" height="${SIDE}"><rect width="100%" height="100%" fill="${ground}"/>${shapes.join("")}</svg>`;
}

const colour = (hue: number, lightness: number): string => `hsl(${(360 * hue).toFixed(0)}, 70%, ${lightness}%)`;

export interface PicturesOptions {
  /** Gets `NAME.jsonl` and `images/`. */
  readonly folder: string;
  readonly name: string;
  readonly pictures: number;
  readonly seed: number;
  /** Give answers to be imitated (`lesson`); otherwise the right one stands in the row for the reward alone. */
  readonly answered: boolean;
}

/** What is taught: the right word up to three, and for more shapes any of the words beyond, whichever the draw says. */
export function lesson(count: number, draw: number): string {
  if (count <= TAUGHT) return WORDS[count - 1]!;
  return WORDS[TAUGHT + Math.floor((WORDS.length - TAUGHT) * draw)]!;
}

/** @returns the path of the data file */
export async function writePictures({ folder, name, pictures, seed, answered }: PicturesOptions): Promise<string> {
  await mkdir(join(folder, "images"), { recursive: true });
  const lines: string[] = [];
  for (let index = 0; index < pictures; index += 1) {
    const draw: Draw = (...purpose) => uniform(foldKey(seed, index, ...purpose));
    const count = 1 + Math.floor(WORDS.length * draw(9));
    const word = WORDS[count - 1]!;
    const image = `images/${name}-${index}.png`;
    await sharp(Buffer.from(drawShapes(count, draw)))
      .removeAlpha()
      .png()
      .toFile(join(folder, image));
    const answer = answered ? [{ from: "gpt", value: answerOf(lesson(count, draw(10))) }] : [];
    const conversations = [{ from: "human", value: QUESTION }, ...answer];
    lines.push(
      `${JSON.stringify({ id: `${name}-${index}`, dataset_name: "shapes", image, conversations, answer: word })}\n`,
    );
  }
  const file = join(folder, `${name}.jsonl`);
  await writeFile(file, lines.join(""));
  return file;
}
