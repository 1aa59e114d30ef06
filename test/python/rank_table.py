"""Prints how far several ranks are from one process under every strategy, with or without an adapter.

    node run_scripts/python.mjs test/python/rank_table.py [--ranks 2 3]

The script is that of `rank_program`: completions of uneven length, groups and pictures at some ranks only, in one
update more ranks than groups.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import torch

from rank_program import alone, in_pieces
from rank_runs import gradient_differences, run_cases, seen, state, tokens_of, total
from test_ranks import CASES
from thurstone_runtime.make_checkpoint import make_checkpoint

COLUMNS = ["strategy", "ranks", "tokens", "layer by layer", "loss", "gradient", "step from a checkpoint"]


def cells(folder: Path, case: str, world: int) -> list[str]:
    """A row: equal tokens of all, and the largest relative differences."""
    one, ranks = seen(folder, alone(case)), seen(folder, case)
    expected, found = tokens_of(one), tokens_of(ranks)
    layerwise = tokens_of(ranks, "layerwise") == found if in_pieces(case) else None
    loss = abs(total(ranks, "loss") / total(one, "loss") - 1)
    same = all(
        torch.equal(tensor, state(folder / case / "step 2 again", kind)[name])
        for kind in ("weights", "optimizer")
        for name, tensor in state(folder / case / "step 2", kind).items()
    )
    return [
        case,
        str(world),
        f"{sum(found[row] == tokens for row, tokens in expected.items())} of {len(expected)} rows",
        "-" if layerwise is None else verdict(layerwise),
        f"{loss:.1e}",
        f"{max(gradient_differences(folder, case).values()):.1e}",
        verdict(same),
    ]


def verdict(same: bool) -> str:
    """Whether all bits are equal, in words."""
    return "same bits" if same else "OTHER BITS"


def main() -> None:
    """Markdown on standard output, progress on standard error."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ranks", type=int, nargs="+", default=[2, 3], help="numbers of ranks (default: 2 3)")
    options = parser.parse_args()
    rows = [COLUMNS, ["---"] * len(COLUMNS)]
    for world in options.ranks:
        print(f"{world} ranks: {', '.join(CASES)}", file=sys.stderr)
        with tempfile.TemporaryDirectory() as name:
            checkpoint, folder = Path(name, "micro"), Path(name, "ranks")
            make_checkpoint(checkpoint, preset="micro", seed=0)
            folder.mkdir()
            run_cases(folder, checkpoint, CASES, world)
            rows += [cells(folder, case, world) for case in CASES]
    for row in rows:
        print(f"| {' | '.join(row)} |")


if __name__ == "__main__":
    main()
