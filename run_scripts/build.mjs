#!/usr/bin/env node
/** Builds dist/ from src/, unless it is current. */

import { dist } from "./lib/dist.mjs";
import { main, say, seconds } from "./lib/tools.mjs";

await main(async () => {
  const started = performance.now();
  if (dist.isCurrent()) return say(`dist is current (${seconds(started)})`);
  await dist.run();
  say(`done in ${seconds(started)}`);
});
