import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import { describe, expect, it } from "vitest";
import { createFakeWorker } from "../../src/testing/index.js";
import { createMetric, findModel, listModels } from "../../src/trainer/index.js";
import type { MetricOptions } from "../../src/trainer/index.js";

const ROOT = resolve(import.meta.dirname, "../..");
const PICTURE = join(ROOT, "test/golden/decode/rgb.png");

describe("the models of the package", () => {
  it("are listed with what a tool must know of a metric", () => {
    expect(listModels().map(({ name }) => name)).toEqual(["rated", "part", "zero"]);
    for (const { folder, lowerBetter, scoreRange } of listModels()) {
      expect(existsSync(join(folder, "model.safetensors"))).toBe(true);
      expect([lowerBetter, scoreRange]).toEqual([false, [1, 5]]);
    }
  });

  it.each<[Partial<MetricOptions> & { readonly model: string }, string, number]>([
    [{ model: "rated" }, "Rate the quality of this image from 1 to 5.", 9408],
    [{ model: join(ROOT, "assets/rated") }, "Rate the quality of this image from 1 to 5.", 9408],
    [{ model: "rated", question: "Good?", questionTemplate: "Say: {Question}", maxPixels: 5000 }, "Say: Good?", 5000],
  ])(
    "are asked what they were taught, by name and by folder, unless told otherwise: %o",
    async (options, text, pixels) => {
      const asked: string[] = [];
      const worker = createFakeWorker({
        complete: (prompt) => {
          asked.push(prompt.text);
          return "<answer>3</answer>";
        },
      });
      await using metric = await createMetric({ ...options, mode: "greedy", connect: worker.connect });
      for await (const { score } of metric.score([PICTURE])) expect(score).toBe(3);
      expect(asked).toEqual([text]);
      expect(worker.calls[0]!.params).toMatchObject({ model: join(ROOT, "assets/rated"), max_pixels: pixels });
      // None is seen twice: the worker need not keep a gibibyte of them.
      expect(worker.calls[0]!.params["image_cache_bytes"]).toBe(16 * 1024 * 1024);
    },
  );
});

describe("where the expected score is read", () => {
  it.each<[Partial<MetricOptions> & { readonly model: string }, string[]]>([
    [{ model: "fake" }, ["candidates"]],
    [{ model: "fake", expectedAfter: "thinking" }, ["generate", "candidates"]],
    [{ model: "rated" }, ["generate", "candidates"]],
    [{ model: "rated", expectedAfter: "prefix" }, ["candidates"]],
  ])("is a forced tag, or the model's own thinking: %o", async (options, methods) => {
    const prefixes: string[] = [];
    const worker = createFakeWorker({
      complete: () => "<think>blur</think><answer>2.00</answer>",
      probability: ({ text, next }) => {
        prefixes.push(text.slice(text.lastIndexOf("?") + 1));
        return "0123456789.".includes(next) ? 1 : 0;
      },
    });
    await using metric = await createMetric({ ...options, question: "Good?", connect: worker.connect });
    for await (const { status } of metric.score([PICTURE])) expect(status).toBe("ok");
    const asked = worker.calls
      .map(({ method }) => method)
      .filter((method) => ["generate", "candidates"].includes(method));
    expect(asked).toEqual(methods);
    const begun = methods.length > 1 ? "<think>blur</think><answer>" : "<answer>";
    expect(prefixes.some((text) => text.endsWith(begun))).toBe(true);
    expect(prefixes.some((text) => text.includes("<think>blur"))).toBe(methods.length > 1);
  });
});

describe("the name of a model", () => {
  it("is a folder, else a bundled name, else a hub id", () => {
    expect(findModel("test", { cwd: ROOT })).toEqual({ model: join(ROOT, "test"), bundled: null });
    expect(findModel("zero", { cwd: ROOT })).toMatchObject({
      model: join(ROOT, "assets/zero"),
      bundled: { name: "zero" },
    });
    expect(findModel("assets/zero/", { cwd: ROOT })).toMatchObject({ bundled: { name: "zero" } });
    expect(findModel("TianheWu/VisualQuality-R1-7B", { cwd: ROOT })).toEqual({
      model: "TianheWu/VisualQuality-R1-7B",
      bundled: null,
    });
  });

  it.each(["ratd", "output/first/model", "./rated", "/nowhere"])(
    "%j is none of these, which says so",
    async (model) => {
      const error = {
        code: "METRIC_MODEL",
        message: expect.stringContaining("none of the bundled models (rated, part, zero)") as string,
      };
      await expect(createMetric({ model })).rejects.toMatchObject(error);
    },
  );

  it("that is nearly a bundled one is taken for a slip of the pen", () => {
    expect(() => findModel("ratd", { cwd: ROOT })).toThrow('Did you mean "rated"?');
  });
});
