/**
 * What rewards attach to completions, as the run folder keeps it: columns in the records, pictures under their content.
 *
 * @module
 */
import { createHash } from "node:crypto";
import type { RewardColumn, RewardImage, ScoredRewards } from "../rewards/index.js";

/** A picture under the key that names its file in `images/`. */
export interface AttachedPicture extends RewardImage {
  readonly key: string;
}

/** What was attached to one completion. Fields are absent where nothing was. */
export interface AttachedFields {
  /** Cells by reward and name. */
  readonly columns?: Readonly<Record<string, Readonly<Record<string, RewardColumn>>>>;
  /** Keys of pictures by reward and name. */
  readonly pictures?: Readonly<Record<string, Readonly<Record<string, string>>>>;
}

/** All attachments of a step. */
export interface StepAttachments {
  fieldsOf(prompt: number, sample: number): AttachedFields;
  /** Each picture once. */
  readonly pictures: readonly AttachedPicture[];
}

/** Names pictures by their content, so that the same picture is kept once and a repeated step writes the same record. */
export function stepAttachments({ attachments }: Pick<ScoredRewards, "attachments">): StepAttachments {
  const keys = new Map<RewardImage, string>();
  const pictures = new Map<string, AttachedPicture>();
  const rewards = Object.entries(attachments);
  for (const image of rewards
    .flatMap(([, groups]) => groups.flat())
    .flatMap((one) => Object.values(one?.images ?? {}))) {
    if (keys.has(image)) continue;
    const key = keyOf(image);
    keys.set(image, key);
    pictures.set(key, { ...image, key });
  }

  const byReward = <T>(of: (attachment: Attached) => Readonly<Record<string, T>> | undefined, at: Spot) =>
    Object.fromEntries(
      rewards.flatMap(([reward, groups]) => {
        const found = of(groups[at.prompt]![at.sample]!);
        return found === undefined || Object.keys(found).length === 0 ? [] : [[reward, found]];
      }),
    );
  return {
    pictures: [...pictures.values()],
    fieldsOf(prompt, sample) {
      const at = { prompt, sample };
      const columns = byReward((one) => one?.columns, at);
      const keysByName = byReward(
        (one) =>
          one?.images &&
          Object.fromEntries(Object.entries(one.images).map(([name, image]) => [name, keys.get(image)!])),
        at,
      );
      return {
        ...(Object.keys(columns).length > 0 && { columns }),
        ...(Object.keys(keysByName).length > 0 && { pictures: keysByName }),
      };
    },
  };
}

type Attached = ScoredRewards["attachments"][string][number][number];

interface Spot {
  readonly prompt: number;
  readonly sample: number;
}

function keyOf({ data, width, height }: RewardImage): string {
  return createHash("sha256").update(`${width}x${height}\n`).update(data).digest("hex");
}
