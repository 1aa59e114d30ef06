import { expect, it } from "vitest";
import { parseFlagsWithFolder } from "../../src/cli/quickstart.js";

it.each([
  [["--folder", "here", "--max_steps", "3"]],
  [["--folder=here", "--max_steps", "3"]],
  [["--max_steps=3", "--folder=here"]],
  [["--max_steps", "3", "--folder", "here"]],
])("takes the folder in either form: %j", (args) => {
  expect(parseFlagsWithFolder(args)).toEqual({ folder: "here", max_steps: 3 });
});

it("without a folder leaves all flags to the configuration", () => {
  expect(parseFlagsWithFolder(["--max_steps", "3"])).toEqual({ max_steps: 3 });
});

it.each([["--folder"], ["--folder="], ["--folder --json"]])("%s without a value is an error", (flag) => {
  expect(() => parseFlagsWithFolder(flag.split(" "))).toThrow(/^--folder needs a folder/);
});
