/**
 * KADID-10k's whole list through `thurstone prepare`, for whoever has it: counts, contents, parts, and the scores that the
 * reference has published.
 *
 *     npm run bench -- prepare --list KADID-10K_mos.txt --published KADID-10K_train_set.txt [--json]
 *
 * Both files are VisualQuality-R1's, and no part of this repository. With reference_parity every published score must come
 * out to the last bit. Exits with status 1 when anything does not.
 *
 * @module
 */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { table } from "../src/cli/table.js";
import { labelPresets, prepareLabels } from "../src/data/index.js";

const { values } = parseArgs({
  options: {
    list: { type: "string" },
    published: { type: "string" },
    json: { type: "boolean", default: false },
  },
});
const { list, published } = values;
if (list === undefined || published === undefined) throw new Error("give --list and --published");

interface Row {
  readonly image: readonly [string];
  readonly group: string;
  readonly conversations: readonly [unknown, { readonly value: number }];
}

const preset = labelPresets.find(({ name }) => name === "kadid10k")!;
const folder = mkdtempSync(join(tmpdir(), "thurstone-bench-prepare-"));
try {
  const results = [await prepared("nominal"), await prepared("all")];
  const parity = new Map(results[1]!.rows.map(({ image, conversations }) => [image[0], conversations[1].value]));
  const lines = readFileSync(published, "utf8").trim().split("\n");
  const equal = lines.filter((line) => {
    const [, picture, score] = line.split(" ");
    return parity.get(picture!) === Number(score);
  });
  const verdicts: boolean[] = [];
  const judged = (limit: string, met: boolean): string => {
    verdicts.push(met);
    return `${limit}: ${met ? "met" : "MISSED"}`;
  };
  const cells = results.flatMap(({ by, parts }) =>
    parts.map(({ part, rows, groups, digest }) => [by, part, String(rows), String(groups), digest]),
  );
  process.stdout.write(`${table(["range", "part", "rows", "contents", "digest of the rows"], cells).join("\n")}\n\n`);
  const checks = results.flatMap(({ by, rows, groups, parts }) => [
    [by, "rows", String(rows.length), judged(`${preset.rows}`, rows.length === preset.rows)],
    [by, "contents", String(groups), judged(`${preset.groups}`, groups === preset.groups)],
    [by, "contents of all parts", String(sum(parts)), judged(`as many`, sum(parts) === groups)],
  ]);
  const published10k = `${equal.length} of ${lines.length}`;
  checks.push(["all", "published scores", published10k, judged("all", equal.length === lines.length)]);
  process.stdout.write(`${table(["range", "what", "found", "limit"], checks).join("\n")}\n`);
  if (values.json) {
    const brief = results.map(({ by, groups, parts }) => ({ by, groups, parts }));
    process.stdout.write(`${JSON.stringify({ results: brief, published: lines.length, equal: equal.length })}\n`);
  }
  process.exitCode = verdicts.every(Boolean) ? 0 : 1;
} finally {
  rmSync(folder, { recursive: true });
}

function sum(parts: readonly { readonly groups: number }[]): number {
  return parts.reduce((total, { groups }) => total + groups, 0);
}

async function prepared(by: "nominal" | "all") {
  const set = await prepareLabels({ preset, files: [list!], out: join(folder, by), normalise: by });
  const parts = Object.entries(set.parts).map(([part, { file, rows, groups }]) => {
    const [header, ...lines] = readFileSync(file, "utf8").trimEnd().split("\n");
    const { digests } = (JSON.parse(header!) as { header: { digests: { rows: string } } }).header;
    return { part, rows, groups, digest: digests.rows, lines };
  });
  const rows = parts.flatMap(({ lines }) => lines.map((line) => JSON.parse(line) as Row));
  const groups = new Set(rows.map(({ group }) => group)).size;
  return { by, groups, rows, parts: parts.map(({ lines: _lines, ...part }) => part) };
}
