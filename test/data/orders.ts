/**
 * Builders and counts for the tests of what order rows come in.
 *
 * @module
 */
import type { OrderCounts } from "../../src/config/index.js";
import { createSampler, type Row, type SampledBatch, type SamplerConfig } from "../../src/data/index.js";
import { makeRow, makeRows } from "./build.js";

/** All batches of a sampler that is made anew for every one of them, which shows that none needs those before it. */
export function batchesOf(rows: readonly Row[], config: SamplerConfig): SampledBatch[] {
  const sampler = createSampler(rows, config);
  return Array.from({ length: sampler.batches }, (_, index) => sampler.batch(index + 1));
}

/** What the order of data sets with these numbers of rows comes to. */
export function orderCounts(rows: Readonly<Record<string, number>>, config: SamplerConfig): OrderCounts {
  const all = Object.entries(rows).flatMap(([dataset, count]) => makeRows(count, { dataset }));
  return createSampler(all, config).counts;
}

export function countOf<T>(items: readonly T[]): Map<T, number> {
  const counts = new Map<T, number>();
  for (const item of items) counts.set(item, (counts.get(item) ?? 0) + 1);
  return counts;
}

/** Rows in groups of these sizes. */
export function groupedRows(sizes: readonly number[], dataset = "pictures"): Row[] {
  return sizes.flatMap((size, group) =>
    Array.from({ length: size }, (_, index) =>
      makeRow(sizes.slice(0, group).reduce((total, one) => total + one, 0) + index, {
        dataset,
        group: `content ${group}`,
      }),
    ),
  );
}

export const idsOf = (batch: SampledBatch): string[] => batch.rows.map(({ dataset, id }) => `${dataset} ${id}`);
