#!/usr/bin/env node
/**
 * Makes the three checkpoints of assets/ from nothing, all from one warm-up:
 *
 *   zero   writes answers and names distortions; its scores were drawn uniformly in all that it was taught
 *   part   zero after a few steps with true scores
 *   rated  taught true scores: the finished one
 *
 *   node run_scripts/tiny-checkpoints/fetch-training-photos.mjs     once: photographs that are not bundled
 *   node run_scripts/tiny-checkpoints/make.mjs [--out output/tiny-checkpoints] [--seed 0] [--photos output/training-photos]
 *     [--size 56]                         side of the crops in pixels, a multiple of 28
 *     [--question TEXT]                   what a crop's row asks
 *     [--question_template "{Question}"]  how it is put, as in a configuration: "scoring" with the paper's question is its prompt
 *     [--fraction 1]                      of crops and steps, to try it out
 *     [--install]                         copies them into assets/
 *
 * About 20 minutes on one core with the defaults; the paper's prompt has five times the tokens. What is there is kept: remove a
 * folder to make it again, and give another --out for another recipe. Test photographs are never read; validation photographs
 * only to print how far the warm-up is.
 */
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { main, Problem, ROOT, run, say, seconds } from "../lib/tools.mjs";

const { values } = parseArgs({
  options: {
    out: { type: "string", default: "output/tiny-checkpoints" },
    seed: { type: "string", default: "0" },
    photos: { type: "string", default: "output/training-photos" },
    size: { type: "string", default: "56" },
    question: { type: "string", default: "Rate the quality of this image from 1 to 5." },
    question_template: { type: "string", default: "{Question}" },
    fraction: { type: "string", default: "1" },
    install: { type: "boolean", default: false },
  },
});
/** Pixels of one token's side: patches of 14, merged two by two. */
const TOKEN = 28;
const HERE = import.meta.dirname;
const CROPS = 24_000;
const VALIDATION_CROPS = 1_000;
const STEPS = { warm: 1600, zero: 300, part: 20, rated: 300 };

const flagged = (flags) => Object.entries(flags).flatMap(([key, value]) => [`--${key}`, String(value)]);
const tsx = (file, ...args) => [join(ROOT, "node_modules/.bin/tsx"), [join(HERE, file), ...args]];
const python = (file, ...args) => [process.execPath, [join(ROOT, "run_scripts/python.mjs"), join(HERE, file), ...args]];

/** What all stages depend on: a folder holds the checkpoints of one recipe. */
function readRecipe() {
  const { question, question_template } = values;
  const [size, fraction] = [Number(values.size), Number(values.fraction)];
  if (!(size >= TOKEN && size % TOKEN === 0)) throw new Problem(`--size is ${values.size}; a multiple of ${TOKEN}.`);
  if (!(fraction > 0 && fraction <= 1)) throw new Problem(`--fraction is ${values.fraction}; above 0 and at most 1.`);
  if (fraction < 1 && values.install) throw new Problem("--install takes whole checkpoints, not a --fraction.");
  return { size, question, question_template, fraction };
}

/** Refuses to mix what was made by another recipe with this one. */
function keepRecipe(out, recipe) {
  const file = join(out, "recipe.json");
  const text = `${JSON.stringify(recipe, null, 2)}\n`;
  if (!existsSync(file)) {
    mkdirSync(out, { recursive: true });
    writeFileSync(file, text);
  } else if (readFileSync(file, "utf8") !== text) {
    throw new Problem(`${out} holds checkpoints of another recipe (recipe.json); give another --out, or remove it.`);
  }
}

/** Runs a command that makes `folder`, unless it is there. */
async function make(folder, [command, args]) {
  if (existsSync(folder)) return say(`${folder}: kept`);
  const started = performance.now();
  const code = await run(command, args);
  if (code !== 0) throw new Problem(`making ${folder} failed (exit code ${code}).`);
  say(`${folder}: made in ${seconds(started)}`);
}

await main(async () => {
  const out = resolve(values.out);
  const recipe = readRecipe();
  const part = (count) => Math.ceil(count * recipe.fraction);
  const photos = JSON.parse(readFileSync(join(ROOT, "assets/photos/split.json"), "utf8"));
  const bundled = (name) => photos[name].map((file) => join(ROOT, "assets/photos", file));
  const more = resolve(values.photos);
  const found = existsSync(more) ? readdirSync(more).filter((file) => file.endsWith(".jpg")).length : 0;
  const count = existsSync(join(more, "COUNT")) ? Number(readFileSync(join(more, "COUNT"), "utf8")) : null;
  if (count !== found)
    throw new Problem(
      `${more} is not complete (${found} of ${count ?? "?"} photographs): run fetch-training-photos.mjs.`,
    );
  if ((await run(process.execPath, [join(ROOT, "run_scripts/build.mjs")])) !== 0)
    throw new Problem("the build failed.");
  keepRecipe(out, recipe);

  const train = join(out, "crops", "train.jsonl");
  const validation = join(out, "validation", "train.jsonl");
  const crops = (folder, count, seed, from) => {
    const flags = { out: join(out, folder), count: part(count), seed, size: recipe.size, question: recipe.question };
    return tsx("training-crops.ts", ...flagged(flags), ...from);
  };
  await make(train, crops("crops", CROPS, 1, [...bundled("train"), more]));
  await make(validation, crops("validation", VALIDATION_CROPS, 2, bundled("validation")));

  const folder = join(out, `seed-${values.seed}`);
  mkdirSync(folder, { recursive: true });
  const at = (name) => join(folder, name);
  const seed = ["--seed", values.seed];
  const warm = ["--data", train, "--validation", validation, "--steps", String(part(STEPS.warm)), ...seed];
  await make(at("warm"), python("warm_up.py", at("warm"), ...warm));

  for (const scores of ["uniform", "true"]) {
    const file = join(out, "crops", `${scores}-${values.seed}.jsonl`);
    await make(file, tsx("answers.ts", "--data", train, "--out", file, "--scores", scores, ...seed));
  }
  const teach = async (name, start, scores, steps) => {
    const flags = {
      model_name_or_path: join(at(start), start === "warm" ? "" : "model"),
      data_file_paths: join(out, "crops", `${scores}-${values.seed}.jsonl`),
      question_template: recipe.question_template,
      max_steps: part(steps),
      output_dir: at(name),
      seed: values.seed,
    };
    await make(join(at(name), "model"), [
      process.execPath,
      [join(ROOT, "dist/cli/main.js"), "sft", join(HERE, "sft.yaml"), ...flagged(flags)],
    ]);
  };
  await teach("zero", "warm", "uniform", STEPS.zero);
  await teach("part", "zero", "true", STEPS.part);
  await teach("rated", "warm", "true", STEPS.rated);

  if (!values.install) return;
  for (const name of ["zero", "part", "rated"]) {
    // The card beside the weights stays.
    for (const file of readdirSync(join(at(name), "model"))) {
      const target = join(ROOT, "assets", name, file);
      rmSync(target, { force: true });
      cpSync(join(at(name), "model", file), target);
    }
  }
});
