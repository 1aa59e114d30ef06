"""Writes test/golden/tape_golden.json: values and derivatives of the tape's operations in PyTorch, float64.

python test/golden/make_tape.py
"""

import json
from pathlib import Path

import torch

POINTS = [-40.0, -9.5, -2.0, -0.5, -1e-9, 0.0, 1e-9, 0.5, 2.0, 9.5, 40.0]
POSITIVE = [1e-9, 0.25, 1.0, 3.5, 60.0]
PAIRS = [(-2.0, 3.0), (3.0, -2.0), (0.0, 0.0), (1.5, 1.5), (-0.5, -0.5), (0.25, 4.0)]

UNARY = {
    "neg": (torch.neg, POINTS),
    "exp": (torch.exp, POINTS),
    "log": (torch.log, POSITIVE),
    "log1p": (torch.log1p, [-0.75, *POSITIVE, 0.0]),
    "sqrt": (torch.sqrt, POSITIVE),
    "square": (torch.square, POINTS),
    "sigmoid": (torch.sigmoid, POINTS),
    "logSigmoid": (torch.nn.functional.logsigmoid, POINTS),
    "normalCdf": (torch.special.ndtr, POINTS),
}
BINARY = {
    "add": torch.add,
    "sub": torch.sub,
    "mul": torch.mul,
    "div": torch.div,
    "min": torch.minimum,
    "max": torch.maximum,
}
CLAMP = [-1.0, 0.0, 0.5, 1.0, 2.0]


def differentiated(operation, *operands: float) -> dict:
    leaves = [torch.tensor(value, dtype=torch.float64, requires_grad=True) for value in operands]
    value = operation(*leaves)
    derivatives = torch.autograd.grad(value, leaves)
    return {"operands": list(operands), "value": value.item(), "derivatives": [one.item() for one in derivatives]}


def main() -> None:
    cases = [
        {"operation": name, **differentiated(operation, point)}
        for name, (operation, points) in UNARY.items()
        for point in points
    ]
    cases += [
        {"operation": name, **differentiated(operation, a, b)}
        for name, operation in BINARY.items()
        for a, b in PAIRS
        if not (name == "div" and b == 0)
    ]
    cases += [{"operation": "clamp", **differentiated(lambda x: x.clamp(0, 1), point)} for point in CLAMP]
    source = {"torch": torch.__version__, "script": "test/golden/make_tape.py", "clamp": "to [0, 1]"}
    path = Path(__file__).with_name("tape_golden.json")
    path.write_text(json.dumps({"source": source, "cases": cases}, indent=1) + "\n")


if __name__ == "__main__":
    main()
