import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { distortionTemplate } from "../../src/index.js";
import { distortions } from "../../src/data/index.js";
import { buildMessages } from "../../src/prompts/index.js";
import { distortionReward, formatReward, parseDistortion, parseScore } from "../../src/rewards/index.js";
import { testReward } from "../../src/testing/index.js";

const said = (type: string | null, severity: unknown): string =>
  `<distortion>${JSON.stringify({ distortion_class: type, severity })}</distortion>`;

describe("parseDistortion", () => {
  it.each<[string, string, unknown]>([
    ["a type and a level", said("blur", 3), { type: "blur", level: 3 }],
    ["a level in words", said("noise", "catastrophic"), { type: "noise", level: 5 }],
    ["a level in digits", said("noise", "2"), { type: "noise", level: 2 }],
    ["no distortion", said(null, null), { type: null, level: null }],
    ["no distortion in Q-Insight's way", said("null", "null"), { type: null, level: null }],
    ["a type alone", '<distortion>{"distortion_class": "blur"}</distortion>', { type: "blur", level: null }],
    ["a level that is none", said("blur", 6), { type: "blur", level: null }],
    ["half a level", said("blur", 2.5), { type: "blur", level: null }],
    ["the last of two", said("blur", 1) + said("noise", 2), { type: "noise", level: 2 }],
    [
      "an answer tag",
      '<answer> {"distortion_class": "blur", "severity": "slight"} </answer>',
      { type: "blur", level: 1 },
    ],
    ["the tag before an answer", `<think>${said("blur", 3)}</think><answer>3.2</answer>`, { type: "blur", level: 3 }],
  ])("reads %s", (_, text, expected) => {
    expect(parseDistortion(text)).toEqual(expected);
  });

  it.each([
    ["no tag", "blur, 3"],
    ["a tag that is not closed", '<distortion>{"distortion_class": "blur", "severity": 3}'],
    ["words", "<distortion>blur</distortion>"],
    ["a score alone", "<answer>3.2</answer>"],
    ["a list", "<distortion>[1]</distortion>"],
    ["a number for a type", '<distortion>{"distortion_class": 3}</distortion>'],
    ["broken JSON", '<distortion>{"distortion_class": "blur",}</distortion>'],
  ])("finds nothing in %s", (_, text) => {
    expect(parseDistortion(text)).toBeNull();
  });

  it("takes any text", () => {
    fc.assert(fc.property(fc.string(), (text) => void parseDistortion(text)));
    fc.assert(
      fc.property(fc.json(), (json) => {
        const found = parseDistortion(`<distortion>${json}</distortion>`);
        expect(found === null || found.level === null || [1, 2, 3, 4, 5].includes(found.level)).toBe(true);
      }),
    );
  });

  it("reads back what was written, whatever the case and the joints of the words", () => {
    const word = fc.stringMatching(/^[a-z]{1,8}$/).filter((text) => !["none", "null"].includes(text));
    fc.assert(
      fc.property(fc.array(word, { minLength: 1, maxLength: 3 }), fc.integer({ min: 1, max: 5 }), (words, level) => {
        const answer = parseDistortion(said(words.join("_").toUpperCase(), level));
        expect(distortionReward(answer, { type: words.join(" "), level })).toBe(1);
      }),
    );
  });
});

describe("distortionReward", () => {
  // The values Q-Insight's training code gives: 0.25 for the class, 0.75 more for the severity with it.
  it.each([
    ["both right", { type: "blur", level: 3 }, { type: "blur", level: 3 }, 1],
    ["the type alone", { type: "blur", level: 2 }, { type: "blur", level: 3 }, 0.25],
    ["the type without a level", { type: "blur", level: null }, { type: "blur", level: 3 }, 0.25],
    ["the level alone", { type: "noise", level: 3 }, { type: "blur", level: 3 }, 0],
    [
      "another name of the type",
      { type: "gaussian blur", level: 1 },
      { type: "01", typeName: "gaussian blur", level: 1 },
      1,
    ],
    ["the number of the type", { type: "01", level: 1 }, { type: "01", typeName: "gaussian blur", level: 1 }, 1],
    ["a level nobody knows", { type: "blur", level: 5 }, { type: "blur" }, 1],
    ["a clean picture", { type: null, level: null }, { type: "none", level: 1 }, 1],
    ["a distortion of a clean picture", { type: "blur", level: 1 }, { type: "none" }, 0],
    ["nothing where there is something", { type: null, level: null }, { type: "blur", level: 1 }, 0],
  ] as const)("pays %s", (_, answer, known, expected) => {
    expect(distortionReward(answer, known)).toBe(expected);
  });

  it("pays nothing for what cannot be read, and shares by the weight it is given", () => {
    expect(distortionReward(null, { type: "blur" })).toBe(0);
    const half = { type: "blur", level: 1 };
    expect(distortionReward(half, { type: "blur", level: 2 }, { distortionTypeWeight: 0.6 })).toBe(0.6);
  });
});

describe("the built-in reward distortion", () => {
  it("knows type, name and level of the row, and leaves rows without a type unjudged", async () => {
    const { values } = await testReward("distortion", [
      {
        row: { type: "01", type_name: "gaussian blur", level: 4 },
        completions: [said("Gaussian-Blur", 4), said("01", 3), "?"],
      },
      { row: { mos: 3 }, completions: [said("blur", 1)] },
    ]);
    expect(values).toEqual([[1, 0.25, 0], [null]]);
  });
});

describe("the template scoring_distortion", () => {
  const row = { messages: [{ role: "user" as const, content: "How good?" }] };

  it("asks for one of KADID's names, in a form that all three readers understand", () => {
    const [message] = buildMessages(row, "scoring_distortion");
    const text = JSON.stringify(message!.content);
    for (const { name } of distortions) expect(text).toContain(name);
    const answer = `<think>soft edges ${said("lens blur", 2)}</think><answer>2.40</answer>`;
    expect(formatReward(answer)).toBe(1);
    expect(parseScore(answer).score).toBe(2.4);
    expect(parseDistortion(answer)).toEqual({ type: "lens blur", level: 2 });
  });

  it("can be made for other names", () => {
    const [message] = buildMessages(row, distortionTemplate(["fog", 'rain "heavy"']));
    expect(JSON.stringify(message)).toContain("fog");
    expect(message!.content).toEqual([
      { type: "text", text: expect.stringContaining('one of "fog", "rain \\"heavy\\"", or null') as string },
    ]);
  });
});
