"""The Python side of bench/images.ts: its pictures, and the loop that it is measured against.

python images_pillow.py make FOLDER WIDTH HEIGHT COUNT      writes FOLDER/0.jpg and on
python images_pillow.py loop FOLDER FIRST COUNT WIDTH HEIGHT
    decodes and resizes to WIDTH x HEIGHT with Pillow alone; prints processor seconds of decoding and of resizing
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np
from PIL import Image
from step_material import noise_picture

QUALITY = 90


def make(folder: Path, width: int, height: int, count: int) -> None:
    """Noise with the spectrum of a photograph, as JPEG."""
    folder.mkdir(parents=True)
    for number in range(count):
        noise_picture(number, width, height).save(folder / f"{number}.jpg", quality=QUALITY)


def loop(folder: Path, first: int, count: int, width: int, height: int) -> dict[str, float]:
    """One after the other."""
    seconds = {"decode": 0.0, "resize": 0.0}
    for number in range(first, first + count):
        began = time.process_time()
        picture = Image.open(folder / f"{number}.jpg").convert("RGB")
        decoded = time.process_time()
        np.array(picture.resize((width, height), Image.Resampling.BICUBIC))
        seconds["resize"] += time.process_time() - decoded
        seconds["decode"] += decoded - began
    return seconds


def main() -> None:
    """The command line."""
    what, folder, *numbers = sys.argv[1:]
    if what == "make":
        make(Path(folder), *map(int, numbers))
    else:
        print(json.dumps(loop(Path(folder), *map(int, numbers))))


if __name__ == "__main__":
    main()
