import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ConfigError, RewardError } from "../../src/errors.js";
import {
  binary,
  constantAnswerReward,
  fidelity,
  margin,
  parseScore,
  referenceQuirks,
  regression,
  threshold,
  winProbability,
  type FidelityOptions,
  type RatedGroup,
} from "../../src/rewards/index.js";
import { normalCdf } from "../../src/stats/index.js";
import { readGolden } from "../golden/read.js";

interface GoldenCase {
  name: string;
  images: { dataset: string; mos: number; completions: string[] }[];
  expected: { accuracy: number[][] };
  expected_f64: { accuracy: number[][] };
}

const golden = readGolden<{ cases: GoldenCase[]; mixed_dataset_cases: GoldenCase[] }>("rewards");

function rated(mos: number, ...scores: (number | null)[]): RatedGroup {
  return { dataset: "a", mos, scores };
}

const group: fc.Arbitrary<RatedGroup> = fc.record({
  dataset: fc.constantFrom("a", "b"),
  mos: fc.integer({ min: 4, max: 20 }).map((quarters) => quarters / 4),
  scores: fc.array(
    fc.option(
      fc.integer({ min: 100, max: 500 }).map((hundredths) => hundredths / 100),
      { freq: 4 },
    ),
    {
      minLength: 1,
      maxLength: 6,
    },
  ),
});
const groups = fc.array(group, { maxLength: 8 });
const options: fc.Arbitrary<FidelityOptions> = fc.record({
  variance: fc.constantFrom("sample", "additive", "floored", "fixed"),
  opponent: fc.constantFrom("mean", "samples"),
  tieBand: fc.constantFrom(0, 0.3),
});

describe("fidelity with referenceParity", () => {
  it.each([...golden.cases, ...golden.mixed_dataset_cases])("equals the reference on $name", (given) => {
    const images = given.images.map(({ completions, ...image }) => ({
      ...image,
      scores: completions.map((text) => parseScore(text, { referenceParity: true }).score),
    }));
    const rewards = fidelity(images, { referenceParity: true });
    rewards.flat().forEach((reward, index) => {
      expect(Math.abs(reward! - given.expected_f64.accuracy.flat()[index]!)).toBeLessThan(1e-9);
      expect(Math.abs(reward! - given.expected.accuracy.flat()[index]!)).toBeLessThan(1e-4);
    });
  });

  it("leaves pairs undecided where a group of one has no variance", () => {
    const [value] = readGolden<{ edge_behaviour: Record<string, number[]> }>("rewards").edge_behaviour[
      "G_equal_1_var_nan_p_falls_back_to_0.5"
    ]!;
    const rewards = fidelity([rated(2, 3), rated(4, 1)], { referenceParity: true });
    rewards.flat().forEach((reward) => expect(reward).toBeCloseTo(value!, 6));
  });

  it("is the sum of its named flags", () => {
    fc.assert(
      fc.property(groups, (images) => {
        expect(fidelity(images, { referenceParity: true })).toEqual(fidelity(images, referenceQuirks));
      }),
    );
  });
});

describe("fidelity", () => {
  it("is what the formula says", () => {
    const images = [rated(4, 3, 4), rated(2, 1, 2.5)];
    const p = normalCdf((3 - 1.75) / Math.sqrt(0.5 + 1.125));
    const q = normalCdf((1 - 3.5) / Math.sqrt(0.5 + 1.125));
    const rewards = fidelity(images, { variance: "sample" });
    expect(rewards[0]![0]).toBeCloseTo(Math.sqrt(p), 15);
    expect(rewards[1]![0]).toBeCloseTo(Math.sqrt(1 - q), 15);
  });

  it("pays sqrt(1/2) for equal scores and 1 for a tie held equal", () => {
    expect(fidelity([rated(4, 3, 3), rated(2, 3, 3)])).toEqual([
      [Math.SQRT1_2, Math.SQRT1_2],
      [Math.SQRT1_2, Math.SQRT1_2],
    ]);
    expect(fidelity([rated(2, 3, 3), rated(2, 3, 3)])[0]![0]).toBeCloseTo(1, 15);
  });

  it("pays an unreadable answer nothing, and leaves it out of mean and variance", () => {
    const [own, other] = fidelity([rated(4, 3, null, 4), rated(2, 1, 2)], { variance: "sample" });
    const [clean, unchanged] = fidelity([rated(4, 3, 4), rated(2, 1, 2)], { variance: "sample" });
    expect(own).toEqual([clean![0], 0, clean![1]]);
    expect(other).toEqual(unchanged);
  });

  it("gives an image with one valid score the mean variance of the batch", () => {
    const images = [rated(4, 3, null), rated(2, 1, 2), rated(1, 1, 3)];
    const typical = (0.5 + 2) / 2;
    const p = normalCdf((3 - 1.5) / Math.sqrt(typical + 0.5));
    const q = normalCdf((3 - 2) / Math.sqrt(typical + 2));
    expect(fidelity(images, { variance: "sample" })[0]![0]).toBeCloseTo((Math.sqrt(p) + Math.sqrt(q)) / 2, 15);
  });

  it("makes nobody meet an image without a valid score, whose own answers earn 0", () => {
    const images = [rated(4, 3, 4), rated(2, 1, 2), rated(1, null, null)];
    const rewards = fidelity(images);
    expect(rewards.slice(0, 2)).toEqual(fidelity(images.slice(0, 2)));
    expect(rewards[2]).toEqual([0, 0]);
  });

  it("gives null to an image without an opponent of its data set", () => {
    const images = [rated(4, 3, 4), rated(2, 1, 2), { ...rated(1, 2, null), dataset: "other" }];
    expect(fidelity(images)[2]).toEqual([null, null]);
    expect(fidelity([rated(3, 2, 2)])).toEqual([[null, null]]);
    expect(fidelity([rated(3, 2), rated(2, null)])).toEqual([[null], [0]]);
    expect(fidelity([])).toEqual([]);
  });

  it("compares within chunks of the comparison set", () => {
    const images = [rated(4, 3, 4), rated(2, 1, 2), rated(1, 5, 4), rated(3, 2, 2.2), rated(5, 1, 5)];
    const chunks = [images.slice(0, 2), images.slice(2, 4), images.slice(4)];
    const fixed = { variance: "fixed" } as const;
    expect(fidelity(images, { ...fixed, comparisonSet: 2 })).toEqual(chunks.flatMap((chunk) => fidelity(chunk, fixed)));
    expect(() => fidelity(images, { comparisonSet: 1 })).toThrow(ConfigError);
  });

  it("meets the opponent's mean, or averages over its single scores", () => {
    const images = [rated(4, 3), rated(2, 1, 4)];
    const root = (score: number): number => Math.sqrt(normalCdf((3 - score) / Math.SQRT2));
    expect(fidelity(images, { variance: "fixed" })[0]![0]).toBeCloseTo(root(2.5), 15);
    const samples = fidelity(images, { variance: "fixed", opponent: "samples" });
    expect(samples[0]![0]).toBeCloseTo((root(1) + root(4)) / 2, 15);
  });

  it("has four kinds of variance", () => {
    const images = [rated(4, 3, 3), rated(2, 2, 2)];
    const of = (variance: NonNullable<FidelityOptions["variance"]>, varianceFloor?: number): number =>
      fidelity(images, { variance, ...(varianceFloor !== undefined && { varianceFloor }) })[0]![0]!;
    expect(of("sample")).toBe(1);
    expect(of("floored")).toBeCloseTo(Math.sqrt(normalCdf(1 / Math.sqrt(0.1))), 15);
    expect(of("floored", 2)).toBeCloseTo(Math.sqrt(normalCdf(0.5)), 15);
    expect(of("additive", 0.5)).toBeCloseTo(Math.sqrt(normalCdf(1)), 15);
    expect(of("fixed")).toBeCloseTo(Math.sqrt(normalCdf(Math.SQRT1_2)), 15);
  });

  it("takes labels within the tie band for equal", () => {
    const images = [rated(3.1, 3, 3), rated(3, 3, 3)];
    expect(fidelity(images)[0]![0]).toBe(Math.SQRT1_2);
    expect(fidelity(images, { tieBand: 0.2 })[0]![0]).toBeCloseTo(1, 15);
  });

  it("takes a soft preference where the opinions' deviations are known", () => {
    const images = [{ ...rated(4, 3), mosStd: 0.6 }, { ...rated(3, 2), mosStd: 0.8 }, { ...rated(2, 1) }];
    const g = normalCdf(1);
    const p = normalCdf(Math.SQRT1_2);
    const soft = Math.sqrt(p * g) + Math.sqrt((1 - p) * (1 - g));
    const hard = Math.sqrt(normalCdf(2 / Math.SQRT2));
    expect(fidelity(images, { variance: "fixed", preference: "soft" })[0]![0]).toBeCloseTo((soft + hard) / 2, 14);
  });

  it("lies in [0, 1], is null for all or none of an image, and is 0 where nothing was read", () => {
    fc.assert(
      fc.property(groups, options, (images, chosen) => {
        for (const reward of [fidelity, winProbability, binary]) {
          reward(images, chosen).forEach((rewards, index) => {
            expect(rewards.length).toBe(images[index]!.scores.length);
            if (rewards.includes(null)) expect(rewards.every((value) => value === null)).toBe(true);
            else {
              rewards.forEach((value, sample) => {
                expect(value! >= 0 && value! <= 1).toBe(true);
                if (images[index]!.scores[sample] === null) expect(value).toBe(0);
              });
            }
          });
        }
      }),
    );
  });

  it("moves with the images when they are permuted, data sets apart", () => {
    fc.assert(
      fc.property(groups, options, fc.infiniteStream(fc.nat()), (images, chosen, draws) => {
        const order = images.map((_, index) => ({ index, by: draws.next().value! })).sort((a, b) => a.by - b.by);
        const before = fidelity(images, chosen);
        const after = fidelity(
          order.map(({ index }) => images[index]!),
          chosen,
        );
        order.forEach(({ index }, position) => {
          after[position]!.forEach((value, sample) => {
            const expected = before[index]![sample]!;
            if (expected === null) expect(value).toBeNull();
            else expect(value).toBeCloseTo(expected, 12);
          });
        });
      }),
    );
  });

  it("keeps data sets apart: each gets what it would get alone, variances given", () => {
    fc.assert(
      fc.property(groups, (images) => {
        const all = fidelity(images, { variance: "fixed" });
        for (const dataset of ["a", "b"]) {
          const own = images.flatMap((image, index) => (image.dataset === dataset ? [index] : []));
          const alone = fidelity(
            own.map((index) => images[index]!),
            { variance: "fixed" },
          );
          expect(own.map((index) => all[index])).toEqual(alone);
        }
      }),
    );
  });

  it("is the same when all scores and labels are turned upside down", () => {
    fc.assert(
      fc.property(groups, options, (images, chosen) => {
        const turned = images.map((image) => ({
          ...image,
          mos: 6 - image.mos,
          scores: image.scores.map((score) => (score === null ? null : 6 - score)),
        }));
        const after = fidelity(turned, chosen).flat();
        fidelity(images, chosen)
          .flat()
          .forEach((value, index) => {
            if (value === null) expect(after[index]).toBeNull();
            else expect(after[index]).toBeCloseTo(value, 6);
          });
      }),
    );
  });
});

describe("variants", () => {
  const images = [rated(4, 3, 1), rated(2, 2, 2)];

  it("win_probability is p g + (1 - p)(1 - g)", () => {
    const rewards = winProbability(images, { variance: "fixed" });
    expect(rewards[0]![0]).toBeCloseTo(normalCdf(Math.SQRT1_2), 15);
    expect(rewards[0]![1]).toBeCloseTo(normalCdf(-Math.SQRT1_2), 15);
    expect(rewards[1]).toEqual([0.5, 0.5]);
  });

  it("two images' win probabilities for the same pair of scores agree", () => {
    const score = fc.integer({ min: 100, max: 500 }).map((hundredths) => hundredths / 100);
    fc.assert(
      fc.property(score, score, (a, b) => {
        const [first, second] = winProbability([rated(4, a), rated(2, b)], { variance: "fixed" });
        expect(first![0]).toBeCloseTo(second![0]!, 14);
      }),
    );
  });

  it("binary pays 1, 0, or a half on a tie of scores or labels", () => {
    expect(binary(images)).toEqual([
      [1, 0],
      [0.5, 0.5],
    ]);
    expect(binary([rated(3, 1), rated(3, 5)])).toEqual([[0.5], [0.5]]);
  });

  it("margin pays for the gap of the labels", () => {
    expect(margin(images)).toEqual([
      [0.75, 0.25],
      [0.5, 0.5],
    ]);
    expect(margin([rated(5, 1), rated(1, 5)])).toEqual([[0], [0]]);
  });

  it("threshold and regression look at one image alone", () => {
    expect(threshold([rated(3, 3.34, 3.35, 2.7, null)])).toEqual([[1, 0, 1, 0]]);
    expect(threshold([rated(3, 3.9)], { threshold: 1 })).toEqual([[1]]);
    expect(regression([rated(2, 2, 4, null), rated(1, 5)])).toEqual([[1, 0.5, 0], [0]]);
  });

  it("that compare numbers refuse labels on another scale", () => {
    for (const reward of [margin, threshold, regression]) {
      expect(() => reward([rated(3, 3), rated(62.5, 3)])).toThrow(RewardError);
      expect(() => reward([rated(62.5, 3)])).toThrow(/opinion score 62\.5, outside 1 to 5/);
    }
  });
});

describe("constantAnswerReward", () => {
  it("is sqrt(1/2) without ties and higher with them", () => {
    expect(constantAnswerReward([rated(4, 3), rated(2, 1)])).toBeCloseTo(Math.SQRT1_2, 15);
    expect(constantAnswerReward([rated(2, 3), rated(2, 1)])).toBeCloseTo(1, 15);
    expect(constantAnswerReward([rated(2, 3), rated(2, 1), rated(1, 1)])).toBeCloseTo((1 + 2 * Math.SQRT1_2) / 3, 15);
  });

  it("is null where nobody has an opponent", () => {
    expect(constantAnswerReward([rated(4, 3)])).toBeNull();
    expect(constantAnswerReward([])).toBeNull();
  });

  it("is what fidelity pays when every answer is the same", () => {
    fc.assert(
      fc.property(groups, fc.constantFrom(0, 0.5), (images, tieBand) => {
        const constant = images.map((image) => ({ ...image, scores: [3, 3] }));
        const rewards = fidelity(constant, { tieBand })
          .flat()
          .filter((reward) => reward !== null);
        const expected = constantAnswerReward(constant, { tieBand });
        if (rewards.length === 0) expect(expected).toBeNull();
        else expect(expected).toBeCloseTo(rewards.reduce((sum, reward) => sum + reward, 0) / rewards.length, 12);
      }),
    );
  });
});
