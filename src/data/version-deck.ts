/**
 * Deals the versions of a degraded picture, type by level, like cards: each comes up about as often as any other, whatever
 * the number of pictures.
 *
 * @module
 */
import { foldKey, shuffle } from "../stats/index.js";
import { distortions } from "./distortions/index.js";
import type { Distortion } from "./distortions/index.js";

/** One way to degrade a picture. */
export interface Version {
  readonly distortion: Distortion;
  /** 1 (weak) to 5 (strong). */
  readonly level: number;
}

export interface DealOptions {
  /** How many; fewer come back where fewer are suitable. */
  readonly count: number;
  /** Versions that do not suit this picture stay in the deck for others. */
  readonly suits: (version: Version) => boolean;
}

export interface VersionDeck {
  /** @returns different versions; never one twice for the same call */
  deal(options: DealOptions): Version[];
}

/** Every type at every level. */
export const allVersions: readonly Version[] = distortions.flatMap((distortion) =>
  [1, 2, 3, 4, 5].map((level) => ({ distortion, level })),
);

/** @param key names the order */
export function createVersionDeck(key: bigint): VersionDeck {
  let pile: Version[] = [];
  let shuffles = 0;
  const draw = (wanted: (version: Version) => boolean): Version => {
    for (;;) {
      const place = pile.findIndex(wanted);
      if (place !== -1) return pile.splice(place, 1)[0]!;
      pile = [...pile, ...shuffle(allVersions, foldKey(key, shuffles))];
      shuffles += 1;
    }
  };
  return {
    deal({ count, suits }) {
      const dealt = new Set<Version>();
      const possible = Math.min(count, allVersions.filter(suits).length);
      while (dealt.size < possible) dealt.add(draw((version) => suits(version) && !dealt.has(version)));
      return [...dealt];
    },
  };
}
