"""The picture store: pixels equal the golden files, pins hold, bytes are bounded, threads do not meet."""

from __future__ import annotations

import hashlib
import json
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from thurstone_runtime.errors import EngineError
from thurstone_runtime.families import ImageConstants
from thurstone_runtime.families.qwen_vl import QwenVlFamily
from thurstone_runtime.images import ImageRequest, ImageStore, resize_bicubic

GOLDEN = Path(__file__).parents[1] / "golden"
RESIZE = json.loads((GOLDEN / "resize_golden.json").read_text())
PATCHIFY = json.loads((GOLDEN / "patchify_golden.json").read_text())


def read(path: Path) -> np.ndarray[Any, Any]:
    return np.array(Image.open(path).convert("RGB"))


def digest(array: np.ndarray[Any, Any]) -> str:
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()


def request(key: str, size: int = 4) -> ImageRequest:
    return ImageRequest(key, height=4, width=4, target_height=size, target_width=size)


def pixels(value: int = 7) -> np.ndarray[Any, Any]:
    return np.full((4, 4, 3), value, dtype=np.uint8)


@pytest.mark.parametrize(
    "case", RESIZE["cases"], ids=[f"{c['image']}-{c['target_width']}x{c['target_height']}" for c in RESIZE["cases"]]
)
def test_resize_equals_the_golden_bytes(case: dict[str, Any]) -> None:
    source = read(GOLDEN / RESIZE["images_dir"] / case["image"])
    assert digest(source) == case["src_rgb_sha256"]
    resized = resize_bicubic(source, case["target_height"], case["target_width"])
    assert digest(resized) == case["rgb_sha256"]


@pytest.mark.parametrize("case", PATCHIFY["cases"], ids=[case["image"] for case in PATCHIFY["cases"]])
def test_patches_equal_the_golden_bytes(case: dict[str, Any]) -> None:
    constants = ImageConstants(
        patch_size=PATCHIFY["patch_size"],
        merge_size=PATCHIFY["merge_size"],
        temporal_patch_size=PATCHIFY["temporal_patch_size"],
        min_pixels=case["min_pixels"],
        max_pixels=case["max_pixels"],
        mean=tuple(PATCHIFY["image_mean"]),
        std=tuple(PATCHIFY["image_std"]),
        rescale_factor=PATCHIFY["rescale_factor"],
    )
    expected = case["expected"]
    ((_, height, width),) = expected["image_grid_thw"]
    source = read(GOLDEN / case["image"])
    image = torch.from_numpy(resize_bicubic(source, height * 14, width * 14))
    patches = QwenVlFamily("qwen2_5_vl", constants, image_token_id=0).patchify(image)
    assert patches.grid == (height, width)
    assert list(patches.values.shape) == expected["shape"]
    assert digest(patches.values.numpy()) == expected["sha256_float32_le"]
    for sample in expected["sampled"]:
        assert patches.values[tuple(sample["index"])].item() == sample["value"]


def test_refuses_to_cut_a_size_that_does_not_divide(loaded: Any) -> None:
    with pytest.raises(EngineError, match="multiples of 28"):
        loaded.family.patchify(torch.zeros(56, 57, 3, dtype=torch.uint8))


def test_asks_for_what_it_lacks_and_keeps_the_resized_picture() -> None:
    store = ImageStore(10_000)
    wanted = [request("a", size=8), request("b")]
    assert store.receive(wanted, {}) == ["a", "b"]
    assert store.receive(wanted, {0: pixels()}) == ["b"]
    assert store.receive(wanted, {1: pixels(9)}) == []
    first, second, again = store.get(["a", "b", "a"])
    assert [first.key, second.key, again.key] == ["a", "b", "a"]
    assert tuple(first.pixels.shape) == (8, 8, 3)
    assert second.pixels.unique().tolist() == [9]
    assert again.pixels is first.pixels
    assert store.describe() == {"count": 2, "bytes": 192 + 48, "pinned": 0}


def test_names_missing_pictures() -> None:
    store = ImageStore(1000)
    store.receive([request("here")], {0: pixels()})
    with pytest.raises(EngineError, match="1 of 2 pictures are not held: gone") as caught:
        store.get(["here", "gone"])
    assert caught.value.code == "missing_images"


def test_the_least_recently_used_picture_goes_first() -> None:
    store = ImageStore(3 * 48)
    for key in "abc":
        store.receive([request(key)], {0: pixels()})
    store.get(["a"])
    store.receive([request("d")], {0: pixels()})
    assert store.receive([request(key) for key in "abcd"], {}) == ["b"]


def test_a_pinned_picture_stays_until_its_step_is_released() -> None:
    store = ImageStore(2 * 48)
    store.receive([request("old")], {0: pixels()}, step=1)
    store.receive([request("new")], {0: pixels()}, step=2)
    with pytest.raises(EngineError, match="raise image_cache_bytes") as caught:
        store.receive([request("more")], {0: pixels()}, step=3)
    assert caught.value.code == "bad_argument"
    assert store.describe()["pinned"] == 2
    assert store.receive([request("more")], {0: pixels()}, step=3, release_before=2) == []
    assert store.receive([request("old"), request("new")], {}) == ["old"]


def test_a_picture_announced_again_is_pinned_before_others_come_in() -> None:
    store = ImageStore(2 * 48)
    store.receive([request("a"), request("b")], {0: pixels(), 1: pixels()})
    assert store.receive([request("a"), request("c")], {1: pixels()}, step=0) == []
    assert store.describe() == {"count": 2, "bytes": 96, "pinned": 2}


@pytest.mark.parametrize(
    ("index", "source"),
    [(0, np.zeros((4, 5, 3), np.uint8)), (0, np.zeros((4, 4, 3), np.float32)), (3, np.zeros((4, 4, 3), np.uint8))],
)
def test_refuses_pixels_that_do_not_fit_their_request(index: int, source: Any) -> None:
    with pytest.raises(EngineError) as caught:
        ImageStore(1000).receive([request("a")], {index: source})
    assert caught.value.code == "bad_argument"


def test_reads_and_writes_from_two_threads_agree() -> None:
    store = ImageStore(8 * 48)
    stop = threading.Event()
    failures: list[BaseException] = []

    def read_forever() -> None:
        try:
            while not stop.is_set():
                assert store.get(["kept"])[0].pixels.unique().tolist() == [5]
        except BaseException as error:
            failures.append(error)

    store.receive([request("kept")], {0: pixels(5)}, step=0)
    reader = threading.Thread(target=read_forever)
    reader.start()
    for number in range(300):
        assert store.receive([request(f"k{number}")], {0: pixels(number % 256)}) == []
    stop.set()
    reader.join()
    assert failures == []
    assert store.describe() == {"count": 8, "bytes": 8 * 48, "pinned": 1}
