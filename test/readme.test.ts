/**
 * What README, CONTRIBUTING and docs speak of exists: files, commands, flags, subpaths.
 *
 * @module
 */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { expect, it } from "vitest";
import { runCommandLine } from "../src/cli/program.js";
import { readTrainArguments } from "../src/cli/train-arguments.js";
import { resolveConfig } from "../src/config/index.js";
import { commandIo } from "./cli/outputs.js";

const repository = resolve(import.meta.dirname, "..");
const read = (path: string): string => readFileSync(join(repository, path), "utf8");
const pages = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"].concat(
  readdirSync(join(repository, "docs"), { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".md"))
    .map((name) => `docs/${name}`),
);
const manifest = JSON.parse(read("package.json")) as {
  scripts: Record<string, string>;
  exports: Record<string, unknown>;
};

it.each(pages)("%s links to files that are there", (page) => {
  const links = [...read(page).matchAll(/\]\((?!https?:|#)([^)#\s]+)/g)].map(([, link]) => link!);
  expect(links.filter((link) => !existsSync(join(repository, dirname(page), link)))).toEqual([]);
});

it("names npm scripts and subpaths that the package has", () => {
  const text = `${read("README.md")}\n${read("CONTRIBUTING.md")}`;
  const scripts = [...text.matchAll(/npm run ([\w-]+)/g)].map(([, name]) => name!);
  expect(scripts.length).toBeGreaterThan(3);
  expect(scripts.filter((name) => !(name in manifest.scripts))).toEqual([]);

  const listed = /^Subpaths of the package: (.*)$/m.exec(read("README.md"))![1]!;
  const subpaths = [...listed.matchAll(/`(?:thurstone)?(\/\w+)`/g)].map(([, path]) => `.${path!}`);
  const exported = Object.keys(manifest.exports).filter((path) => path !== "." && path !== "./package.json");
  expect(subpaths.toSorted()).toEqual(exported.toSorted());
});

it("names commands that exist, and train's with flags and files that it takes", async () => {
  const lines = [...read("README.md").matchAll(/npx thurstone ([^`\n#]+)/g)].map(([, line]) => line!.trim());
  const names = [...new Set(lines.map((line) => line.split(" ")[0]!))];
  expect(names).toEqual(expect.arrayContaining(["train", "eval", "setup", "doctor", "schema", "runs"]));
  const io = commandIo(repository);
  await runCommandLine(["--help"], io);
  for (const name of names) expect(io.stdout.text()).toMatch(new RegExp(`^ {2}${name} `, "m"));

  for (const line of lines.filter((one) => one.startsWith("train "))) {
    const { files, flags } = readTrainArguments(line.replace(" ...", "").split(/\s+/).slice(1));
    expect(flags.problems).toEqual([]);
    expect(files.filter((file) => !existsSync(join(repository, file)))).toEqual([]);
    expect(resolveConfig({ model_name_or_path: "m", ...flags.values }).model_name_or_path).toBe("m");
  }
});

it("shows the row that data files are made of", async () => {
  const [, row] = /^```json\n(.*?)^```$/ms.exec(read("README.md"))!;
  const { RECORD_FORMATS } = await import("../src/data/record.js");
  expect(RECORD_FORMATS.score.schema.parse(JSON.parse(row!))).toMatchObject({
    id: "1",
    dataset_name: "mine",
    image: ["a.png"],
  });
});
