#!/usr/bin/env node
/**
 * Makes the three checkpoints of assets/ from nothing, all from one warm-up:
 *
 *   zero   writes answers and names distortions; its scores were drawn uniformly in all that it was taught
 *   part   zero after a few steps with true scores
 *   rated  taught true scores: the finished one
 *
 *   node run_scripts/tiny-checkpoints/fetch-training-photos.mjs     once: photographs that are not bundled
 *   node run_scripts/tiny-checkpoints/make.mjs [--out output/tiny-checkpoints] [--seed 0] [--photos output/training-photos] [--install]
 *
 * --install copies them into assets/. About 20 minutes on one core. What is there is kept: remove a folder to make it again. Test photographs are never read;
 * validation photographs only to print how far the warm-up is.
 */
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { main, Problem, ROOT, run, say, seconds } from "../lib/tools.mjs";

const { values } = parseArgs({
  options: {
    out: { type: "string", default: "output/tiny-checkpoints" },
    seed: { type: "string", default: "0" },
    photos: { type: "string", default: "output/training-photos" },
    install: { type: "boolean", default: false },
  },
});
const HERE = import.meta.dirname;
const CROPS = 24_000;
const VALIDATION_CROPS = 1_000;
const STEPS = { warm: 1600, zero: 300, part: 20, rated: 300 };

const tsx = (file, ...args) => [join(ROOT, "node_modules/.bin/tsx"), [join(HERE, file), ...args]];
const python = (file, ...args) => [process.execPath, [join(ROOT, "run_scripts/python.mjs"), join(HERE, file), ...args]];

/** Runs a command that makes `folder`, unless it is there. */
function make(folder, [command, args]) {
  if (existsSync(folder)) return say(`${folder}: kept`);
  const started = performance.now();
  const code = run(command, args);
  if (code !== 0) throw new Problem(`making ${folder} failed (exit code ${code}).`);
  say(`${folder}: made in ${seconds(started)}`);
}

await main(async () => {
  const out = resolve(values.out);
  const photos = JSON.parse(readFileSync(join(ROOT, "assets/photos/split.json"), "utf8"));
  const bundled = (part) => photos[part].map((file) => join(ROOT, "assets/photos", file));
  const more = resolve(values.photos);
  const found = existsSync(more) ? readdirSync(more).filter((file) => file.endsWith(".jpg")).length : 0;
  const count = existsSync(join(more, "COUNT")) ? Number(readFileSync(join(more, "COUNT"), "utf8")) : null;
  if (count !== found)
    throw new Problem(
      `${more} is not complete (${found} of ${count ?? "?"} photographs): run fetch-training-photos.mjs.`,
    );
  if (run(process.execPath, [join(ROOT, "run_scripts/build.mjs")]) !== 0) throw new Problem("the build failed.");

  const train = join(out, "crops", "train.jsonl");
  const validation = join(out, "validation", "train.jsonl");
  const crops = (folder, count, seed, from) =>
    tsx("training-crops.ts", "--out", join(out, folder), "--count", String(count), "--seed", String(seed), ...from);
  make(train, crops("crops", CROPS, 1, [...bundled("train"), more]));
  make(validation, crops("validation", VALIDATION_CROPS, 2, bundled("validation")));

  const folder = join(out, `seed-${values.seed}`);
  mkdirSync(folder, { recursive: true });
  const at = (name) => join(folder, name);
  const seed = ["--seed", values.seed];
  const warm = ["--data", train, "--validation", validation, "--steps", String(STEPS.warm), ...seed];
  make(at("warm"), python("warm_up.py", at("warm"), ...warm));

  for (const scores of ["uniform", "true"]) {
    const file = join(out, "crops", `${scores}-${values.seed}.jsonl`);
    make(file, tsx("answers.ts", "--data", train, "--out", file, "--scores", scores, ...seed));
  }
  const teach = (name, start, scores, steps) => {
    const flags = {
      model_name_or_path: join(at(start), start === "warm" ? "" : "model"),
      data_file_paths: join(out, "crops", `${scores}-${values.seed}.jsonl`),
      max_steps: steps,
      output_dir: at(name),
      seed: values.seed,
    };
    const args = Object.entries(flags).flatMap(([key, value]) => [`--${key}`, String(value)]);
    make(join(at(name), "model"), [
      process.execPath,
      [join(ROOT, "dist/cli/main.js"), "sft", join(HERE, "sft.yaml"), ...args],
    ]);
  };
  teach("zero", "warm", "uniform", STEPS.zero);
  teach("part", "zero", "true", STEPS.part);
  teach("rated", "warm", "true", STEPS.rated);

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
