import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import sharp from "sharp";
import { afterAll, beforeAll, expect, it } from "vitest";
import { defineReward, openRun, train } from "../../src/index.js";
import { createFakeWorker } from "../../src/testing/index.js";
import { createDataSet } from "../support/data-set.js";
import type { DataSet } from "../support/data-set.js";
import { eventsOf, meddle, runFake } from "../support/fake-run.js";

let set: DataSet;
beforeAll(async () => {
  set = await createDataSet();
});
afterAll(() => set.remove());

/** Says how long the answer is, and paints it: one grey per row and step. */
const looker = defineReward({
  name: "looker",
  score: ({ completion, row, step }) => {
    const shade = (Number(row["id"]) * 7 + step! * 31) % 256;
    return {
      value: completion.index,
      columns: { letters: completion.text.length, note: `row ${String(row["id"])}` },
      ...(completion.index === 0 && {
        images: { shade: { data: new Uint8Array(8 * 4 * 3).fill(shade), width: 8, height: 4 } },
      }),
    };
  },
});

it("keeps what rewards attach: columns in the records, pictures in images/, both in the events", async () => {
  const config = set.config("kept", { max_steps: 1 });
  const { events } = await runFake(config, { rewards: { looker } });
  const records = await (await openRun(config.output_dir!)).rollouts(1);
  for (const record of records) {
    expect(record["columns"]).toEqual({
      looker: { letters: (record["text"] as string).length, note: `row ${record["row"] as string}` },
    });
    expect("pictures" in record).toBe(record["sample"] === 0);
  }
  const { shade } = (records[0]!["pictures"] as { looker: { shade: string } }).looker;
  const { data, info } = await sharp(join(config.output_dir!, "images", `${shade}.webp`))
    .raw()
    .toBuffer({ resolveWithObject: true });
  expect([info.width, info.height]).toEqual([8, 4]);
  const grey = (Number(records[0]!["row"]) * 7 + 31) % 256;
  expect(Math.abs(data[0]! - grey)).toBeLessThanOrEqual(3);

  const [rolled] = eventsOf(events, "rollout-end");
  expect(rolled!.sample!.columns).toMatchObject({ looker: { letters: rolled!.sample!.text.length } });
});

it("writes nothing of them where completions are not logged, and no field where nothing was attached", async () => {
  const silent = set.config("silent", { max_steps: 1, log_completions: false });
  await runFake(silent, { rewards: { looker } });
  expect(readdirSync(silent.output_dir!)).not.toContain("images");

  const plain = set.config("plain", { max_steps: 1 });
  await runFake(plain, { rewards: { fidelity: 1 } });
  const [record] = await (await openRun(plain.output_dir!)).rollouts(1);
  expect(record).not.toHaveProperty("columns");
  expect(record).not.toHaveProperty("pictures");
});

it("leaves a resumed run as the uninterrupted one, attachments and all", async () => {
  const contents = (folder: string): unknown =>
    ["rollouts", "images"].flatMap((part) =>
      readdirSync(join(folder, part))
        .sort()
        .map((name) => [name, readFileSync(join(folder, part, name)).toString("base64")]),
    );
  const whole = set.config("whole");
  await runFake(whole, { rewards: { looker } });

  const config = set.config("resumed");
  let updates = 0;
  const connect = meddle(createFakeWorker(), {
    before(method) {
      if (method === "optimStep" && ++updates === 4) throw new Error("pulled");
    },
  });
  await expect(train(config, { connect, rewards: { looker } }).result).rejects.toThrow("pulled");
  await runFake({ ...config, resume_from_checkpoint: true }, { rewards: { looker } });
  expect(contents(config.output_dir!)).toEqual(contents(whole.output_dir!));
});
