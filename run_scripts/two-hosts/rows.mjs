/** Writes rows.jsonl into the folder given: six rows for photographs of assets/photos. */

import { readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const [folder] = process.argv.slice(2);
const photos = readdirSync("assets/photos").filter((name) => name.endsWith(".jpg"));
const rows = photos.slice(0, 6).map((image, at) => {
  const conversations = [
    { from: "human", value: "Rate the picture." },
    { from: "gpt", value: 1 + at / 2 },
  ];
  return JSON.stringify({ id: at, dataset_name: "photos", image, conversations });
});
writeFileSync(join(folder, "rows.jsonl"), `${rows.join("\n")}\n`);
