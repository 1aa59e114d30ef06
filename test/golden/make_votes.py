"""Makes votes_golden.json: rewards by majority vote, computed straight from their definition, with nothing of src/.

    python test/golden/make_votes.py

Phi is the standard library's; votes are counted one by one. Scores are hundredths, so that ties occur.
"""

import json
import math
import random
import statistics
from pathlib import Path

PHI = statistics.NormalDist().cdf
FLOOR = 0.05


def votes_for(own: list[float], other: list[float]) -> tuple[int, int]:
    """Votes for the first and for the second, in halves."""
    first = sum(2 if a > b else 1 if a == b else 0 for a in own for b in other)
    return first, 2 * len(own) * len(other) - first


def preference(own: list[float], other: list[float], agreement: float) -> int | None:
    if not own or not other:
        return None
    first, second = votes_for(own, other)
    if first > agreement * (first + second):
        return 1
    return 0 if second > agreement * (first + second) else None


def variances(images: list[dict]) -> list[float]:
    readable = [[s for s in image["scores"] if s is not None] for image in images]
    samples = [statistics.variance(scores) if len(scores) > 1 else None for scores in readable]
    known = [value for value in samples if value is not None]
    typical = sum(known) / len(known) if known else 0.0
    return [max(typical if value is None else value, FLOOR) for value in samples]


def rewards(images: list[dict], agreement: float) -> dict[str, list]:
    spread = variances(images)
    readable = [[s for s in image["scores"] if s is not None] for image in images]
    found: dict[str, list] = {"fidelity": [], "win_probability": [], "binary": []}
    for i, image in enumerate(images):
        met = []
        for k, other in enumerate(images):
            if k == i or other["dataset"] != image["dataset"]:
                continue
            g = preference(readable[i], readable[k], agreement)
            if g is not None:
                met.append((g, statistics.fmean(readable[k]), math.sqrt(spread[i] + spread[k])))
        for name, rows in found.items():
            rows.append([None if not met else reward(name, score, met) for score in image["scores"]])
    return found


def reward(name: str, score: float | None, met: list[tuple[int, float, float]]) -> float:
    if score is None:
        return 0.0
    values = []
    for g, mean, deviation in met:
        p = PHI((score - mean) / deviation)
        if name == "fidelity":
            values.append(math.sqrt(p if g == 1 else 1 - p))
        elif name == "win_probability":
            values.append(p if g == 1 else 1 - p)
        else:
            values.append(0.5 if score == mean else float((score > mean) == (g == 1)))
    return math.fsum(values) / len(values)


def main() -> None:
    draw = random.Random(20261128)
    cases = []
    for number in range(12):
        images = [
            {
                "dataset": draw.choice(["a", "a", "b"]),
                "scores": [
                    None if draw.random() < 0.1 else round(draw.choice([1.5, 2.5, 3.5]) + draw.randint(-4, 4) / 4, 2)
                    for _ in range(draw.randint(2, 6))
                ],
            }
            for _ in range(draw.randint(2, 7))
        ]
        agreement = draw.choice([0.5, 0.5, 0.7])
        cases.append(
            {"name": f"{number}", "agreement": agreement, "images": images, "expected": rewards(images, agreement)}
        )
    target = Path(__file__).with_name("votes_golden.json")
    target.write_text(json.dumps({"source": "test/golden/make_votes.py", "cases": cases}) + "\n")


if __name__ == "__main__":
    main()
