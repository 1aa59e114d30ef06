import { describe, expect, it } from "vitest";
import { readTrainArguments } from "../../src/cli/train-arguments.js";

const words = (line: string): string[] => line.split(" ");

describe("arguments of thurstone train", () => {
  it("are files first, or behind --config, and flags", () => {
    const expected = { files: ["a.yaml", "b.yaml"], flags: { values: { beta: 0.1, bf16: true }, problems: [] } };
    expect(readTrainArguments(words("a.yaml b.yaml --beta 0.1 --bf16"))).toMatchObject(expected);
    expect(readTrainArguments(words("--beta 0.1 --config a.yaml b.yaml --bf16"))).toMatchObject(expected);
    expect(readTrainArguments(words("a.yaml --beta 0.1 --config b.yaml --bf16"))).toMatchObject(expected);
  });

  it("hold the command's own options anywhere, with dashes or underscores", () => {
    const none = { dryRun: false, probe: false, json: false };
    expect(readTrainArguments([])).toEqual({ files: [], flags: { values: {}, problems: [] }, ...none });
    expect(readTrainArguments(words("--dry-run a.yaml --json"))).toMatchObject({
      files: ["a.yaml"],
      dryRun: true,
      json: true,
    });
    expect(readTrainArguments(words("a.yaml --beta 1 --dry_run"))).toMatchObject({ dryRun: true });
    expect(readTrainArguments(["--probe"])).toMatchObject({ ...none, probe: true });
  });

  it("resume from the newest checkpoint with --resume", () => {
    expect(readTrainArguments(words("a.yaml --resume")).flags.values).toEqual({ resume_from_checkpoint: true });
    expect(readTrainArguments(words("a.yaml --requeue")).flags.values).toEqual({ resume_from_checkpoint: "auto" });
  });

  it.each([
    ["--dry-run --probe", "--dry-run starts no worker and --probe does: give one of them."],
    ["--probe --resume", "--probe looks at step 1 from model_name_or_path, not at a checkpoint: leave --resume out."],
    [
      "--resume --resume_from_checkpoint out/1",
      "--resume takes the newest checkpoint and resume_from_checkpoint names one: give one of them.",
    ],
    ["--probe --requeue", "--probe looks at step 1 from model_name_or_path, not at a checkpoint: leave --requeue out."],
    [
      "--resume --requeue",
      "--requeue resumes where there is a checkpoint, and --resume insists on one: give one of them.",
    ],
    ["--dry-run=yes", "--dry-run=yes has a value, and this option takes none."],
  ])("cannot be %s", (line, message) => {
    expect(() => readTrainArguments(words(line))).toThrowError(
      expect.objectContaining({ name: "ConfigError", code: "CONFIG_FLAG", message }) as Error,
    );
  });
});
