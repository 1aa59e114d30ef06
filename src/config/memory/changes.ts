/**
 * What to change when a run does not fit: single changes and sets of them are tried on the plan, cheapest first.
 *
 * A cost is the share of a step's time that a change takes, in percent, or what we hold equal to it where it changes what is
 * trained: the order is a judgement, that a set fits is computed.
 *
 * @module
 */
import { chooseGeneration, isSharded, planMemory } from "./memory-plan.js";
import type { MemoryOptions, MemoryPlan } from "./memory-plan.js";

/** A set of changes with which a run fits. */
export interface Remedy {
  /** As they are to be written into the configuration. */
  readonly settings: Readonly<Record<string, number | boolean | string>>;
  readonly cost: number;
  readonly plan: MemoryPlan;
}

interface Change {
  readonly settings: Remedy["settings"];
  readonly cost: number;
  /** null where it changes nothing. */
  readonly apply: (options: MemoryOptions) => MemoryOptions | null;
}

/** How much of it there is to turn. */
export interface Leeway {
  /** Devices that could be used; ranks beyond them are not proposed. */
  readonly devices: number;
  /** Least prompts of a step, which rewards may ask for. */
  readonly leastPrompts: number;
  /** Pixels of a picture now; null: pictures have none to lose. */
  readonly pixels: number | null;
  /** Whether sampling goes layer by layer where whole weights do not fit, or only when it is told to. */
  readonly choosesGeneration: boolean;
}

/** Sets of more changes than this are not tried. */
const MOST_CHANGES = 4;

/**
 * @param available bytes of a device
 * @param most remedies
 * @returns the cheapest first; none of them holds another one
 */
export function findRemedies(options: MemoryOptions, available: number, leeway: Leeway, most = 3): Remedy[] {
  const changes = changesOf(options, leeway).filter(({ apply }) => apply(options) !== null);
  const sets = subsets(changes).sort((a, b) => costOf(a) - costOf(b) || a.length - b.length);
  const found: Remedy[] = [];
  for (const set of sets) {
    if (found.length === most) break;
    const settings: Remedy["settings"] = Object.assign({}, ...set.map((change) => change.settings));
    if (found.some((other) => holds(settings, other.settings))) continue;
    const made = set.reduce<MemoryOptions | null>((before, { apply }) => before && apply(before), options);
    if (made === null) continue;
    const changed = leeway.choosesGeneration ? { ...made, generation: chooseGeneration(made, available) } : made;
    const plan = planMemory(changed);
    if (plan.needed > available) continue;
    found.push({ settings, cost: costOf(set), plan });
  }
  return found;
}

function holds(settings: Remedy["settings"], others: Remedy["settings"]): boolean {
  return Object.entries(others).every(([key, value]) => settings[key] === value);
}

function costOf(set: readonly Change[]): number {
  return set.reduce((total, { cost }) => total + cost, 0);
}

/** All sets of up to `MOST_CHANGES`; of changes of one key only one at a time. */
function subsets(changes: readonly Change[]): Change[][] {
  const sets: Change[][] = [[]];
  for (const change of changes) {
    const keys = Object.keys(change.settings);
    const free = sets.filter(
      (set) => set.length < MOST_CHANGES && !set.some(({ settings }) => keys.some((key) => key in settings)),
    );
    sets.push(...free.map((set) => [...set, change]));
  }
  return sets.slice(1);
}

function changesOf(options: MemoryOptions, leeway: Leeway): Change[] {
  return [
    ...withoutCopy(options),
    ...smallerPasses(options),
    ...smallerState(options),
    ...trainedLess(options),
    ...smallerPictures(leeway),
    ...fewerPrompts(options, leeway),
    ...moreRanks(options, leeway),
    ...layerwise(leeway),
  ];
}

function withoutCopy({ device }: MemoryOptions): Change[] {
  if (device !== "cpu") return [];
  return [
    {
      settings: { async_save: false },
      cost: 1,
      apply: (made) => (made.asyncSave === true ? { ...made, asyncSave: false } : null),
    },
  ];
}

function smallerPasses({ work }: MemoryOptions): Change[] {
  const { promptTokens: prompt, samples, completionTokens: completion } = work;
  // Below a whole group every pass computes the prompt anew.
  const sizes: readonly (readonly [number, number])[] = [
    [samples, 3],
    [Math.ceil(samples / 2), 10],
    [1, 25],
  ];
  return sizes.map(([rows, cost]) => {
    const tokens = prompt + rows * completion;
    return {
      settings: { max_tokens_per_part: tokens },
      cost,
      apply: (made) =>
        (made.work.tokensPerPass ?? Number.POSITIVE_INFINITY) <= tokens
          ? null
          : { ...made, work: { ...made.work, tokensPerPass: tokens } },
    };
  });
}

/** On a CPU what it saves goes into working memory. */
function smallerState({ device }: MemoryOptions): Change[] {
  if (device === "cpu") return [];
  return [
    {
      settings: { optim: "adamw_bnb_8bit" },
      cost: 30,
      apply: (made) =>
        made.optimizer === "adamw_torch" && (made.strategy === "single" || made.strategy === "ddp")
          ? { ...made, optimizer: "adamw_bnb_8bit" }
          : null,
    },
  ];
}

function trainedLess({ device }: MemoryOptions): Change[] {
  const adapter = { rank: 16, targets: null, magnitudes: false, fourBit: false };
  return [
    {
      settings: { gradient_checkpointing: true },
      cost: 33,
      apply: (made) => (made.gradientCheckpointing ? null : { ...made, gradientCheckpointing: true }),
    },
    {
      settings: { freeze_vision_modules: true },
      cost: 55,
      apply: (made) => (made.freezeVision || made.adapter !== null ? null : { ...made, freezeVision: true }),
    },
    {
      settings: { use_peft: true },
      cost: 70,
      apply: (made) => (made.adapter === null ? { ...made, adapter } : null),
    },
    ...(device === "cuda" ? [...inputsElsewhere(), ...fourBitChanges(adapter)] : []),
    { settings: { beta: 0 }, cost: 90, apply: (made) => (made.reference ? { ...made, reference: false } : null) },
    ...(device === "cuda"
      ? [
          {
            settings: { bf16: true },
            cost: 5,
            apply: (made: MemoryOptions): MemoryOptions | null =>
              made.precision === "bfloat16" ? null : { ...made, precision: "bfloat16" },
          },
        ]
      : []),
  ];
}

/** Each layer's inputs travel to the machine's memory and back. */
function inputsElsewhere(): Change[] {
  return [
    {
      settings: { activation_offloading: true },
      cost: 20,
      apply: (made) =>
        made.gradientCheckpointing && made.activationOffloading !== true
          ? { ...made, activationOffloading: true }
          : null,
    },
    {
      settings: { gradient_checkpointing: true, activation_offloading: true },
      cost: 53,
      apply: (made) =>
        made.gradientCheckpointing ? null : { ...made, gradientCheckpointing: true, activationOffloading: true },
    },
  ];
}

function fourBitChanges(adapter: NonNullable<MemoryOptions["adapter"]>): Change[] {
  return [
    {
      settings: { load_in_4bit: true },
      cost: 40,
      apply: (made) =>
        made.adapter === null || made.adapter.fourBit || made.precision === "float32"
          ? null
          : { ...made, adapter: { ...made.adapter, fourBit: true } },
    },
    {
      settings: { use_peft: true, load_in_4bit: true },
      cost: 110,
      apply: (made) => (made.adapter === null ? { ...made, adapter: { ...adapter, fourBit: true } } : null),
    },
  ];
}

function smallerPictures({ pixels }: Leeway): Change[] {
  if (pixels === null) return [];
  const shares: readonly (readonly [number, number])[] = [
    [1 / 2, 45],
    [1 / 4, 75],
  ];
  return shares.map(([share, cost]) => ({
    settings: { max_pixels: Math.floor(pixels * share) },
    cost,
    apply: ({ work, ...made }) => {
      const lost = Math.floor(work.imageTokens * (1 - share));
      if (lost === 0) return null;
      return {
        ...made,
        work: {
          ...work,
          imageTokens: work.imageTokens - lost,
          promptTokens: work.promptTokens - lost,
          patches: Math.ceil(work.patches * share),
          pictureBytes: work.pictureBytes * share,
        },
      };
    },
  }));
}

function fewerPrompts({ work, ranks }: MemoryOptions, { leastPrompts }: Leeway): Change[] {
  const shares: readonly (readonly [number, number])[] = [
    [2, 50],
    [4, 65],
  ];
  return shares.flatMap(([share, cost]) => {
    const prompts = work.prompts / share;
    const possible =
      Number.isInteger(prompts) && prompts >= Math.max(leastPrompts, ranks) && work.promptsPerUpdate === work.prompts;
    if (!possible) return [];
    const settings = { prompts_per_step: prompts };
    return [
      {
        settings,
        cost,
        apply: (made: MemoryOptions) => ({ ...made, work: { ...made.work, prompts, promptsPerUpdate: prompts } }),
      },
    ];
  });
}

function layerwise({ choosesGeneration }: Leeway): Change[] {
  if (choosesGeneration) return [];
  return [
    {
      settings: { ds3_gather_for_generation: false },
      cost: 60,
      apply: (made) => (isSharded(made) && made.generation === "gather" ? { ...made, generation: "layerwise" } : null),
    },
  ];
}

function moreRanks({ ranks, device, optimizer }: MemoryOptions, { devices }: Leeway): Change[] {
  // On a CPU ranks share one memory.
  if (device === "cpu") return [];
  return [1, 2, 4, 8, 16, 32, 64].flatMap((count, doublings) => {
    if (count < ranks || count > devices || count === 1) return [];
    return [
      {
        settings: {
          num_processes: count,
          strategy: "fsdp2",
          // Which does not cut its state into pieces.
          ...(optimizer === "adamw_bnb_8bit" && { optim: "adamw_torch" }),
        },
        cost: 30 + 10 * (doublings - Math.log2(ranks)),
        apply: (made: MemoryOptions): MemoryOptions | null =>
          (made.strategy === "fsdp2" && made.ranks === count) || made.optimizer !== optimizer
            ? null
            : { ...made, strategy: "fsdp2", ranks: count, offload: false, optimizer: "adamw_torch" },
      },
    ];
  });
}
