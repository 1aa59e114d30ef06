"""Label files in binary formats for the tests of `thurstone prepare`, made as the data sets' authors made theirs.

Needs pandas, pyarrow, openpyxl and scipy, which nothing else here does; run it in a folder of your own with them:
python test/golden/make_labels.py. The text files beside its output are written by hand.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from openpyxl import Workbook
from scipy.io import savemat

FOLDER = Path(__file__).parent / "labels"


def spaq() -> None:
    """As "MOS and Image attribute scores.xlsx", with an empty row and a name with spaces."""
    book = Workbook()
    sheet = book.active
    sheet.append(["Image name", "MOS", "Brightness", "Colorfulness", "Contrast", "Noisiness", "Sharpness"])
    for name, mos in [("00001.jpg", 48.6), ("00002.jpg", 75), ("a picture.jpg", 12.25)]:
        sheet.append([name, mos, 50, 50.5, 40, 60, 55])
    sheet.append([])
    for name, mos in [("00004.jpg", 91.333333), ("00005.png", 0)]:
        sheet.append([name, mos, 50, 50.5, 40, 60, 55])
    book.save(FOLDER / "spaq/MOS and Image attribute scores.xlsx")


def bid() -> None:
    """As DatabaseGrades.xlsx: numbers where the pictures have names."""
    book = Workbook()
    sheet = book.active
    sheet.title = "Plan1"
    sheet.append(["Image Number", "Average Subjective Grade"])
    for number, grade in [(1, 2.9215), (2, 3.5), (17, 0.25), (586, 4.75), (40, 1)]:
        sheet.append([number, grade])
    book.save(FOLDER / "bid/DatabaseGrades.xlsx")


def csiq() -> None:
    """As csiq.DMOS.xlsx: the sheet is the second, with a title above and an empty column before."""
    book = Workbook()
    book.active.title = "description"
    book.active.append(["Categorical Subjective Image Quality database"])
    sheet = book.create_sheet("all_by_image")
    sheet.append([None, "Scores by image"])
    sheet.append([])
    sheet.append([None, "image", "dst_idx", "dst_type", "dst_lev", "dmos_std", "dmos"])
    kinds = [("noise", 1, 0.062), ("jpeg 2000", 5, 0.938)]
    for image in [1600, "aerial_city", "boston", "bridge", "butter_flower"]:
        for index, (kind, level, dmos) in enumerate(kinds):
            sheet.append([None, image, index + 1, kind, level, 0.05, dmos])
    book.save(FOLDER / "csiq/csiq.DMOS.xlsx")


def live() -> None:
    """As release 2: 982 scores in the order of the folders, copies of the originals among them."""
    count = 982
    originals = ["bikes.bmp", "ocean.bmp", "studentsculpture.bmp", "house.bmp", "caps.bmp"]
    names = np.empty((1, count), dtype=object)
    names[0] = [originals[index % 5] for index in range(count)]
    orgs = np.zeros((1, count), dtype=np.uint8)
    orgs[0, :203] = 1
    dmos = np.round(np.linspace(20, 90, count), 1).reshape(1, count)
    dmos[orgs == 1] = 0
    savemat(FOLDER / "live/dmos.mat", {"dmos": dmos, "orgs": orgs}, do_compression=True)
    savemat(FOLDER / "live/refnames_all.mat", {"refnames_all": names}, do_compression=True)
    realigned = {"dmos_new": dmos * 1.25 - 2.5, "dmos_std": np.full((1, count), 5.5), "orgs": orgs}
    savemat(FOLDER / "live/dmos_realigned.mat", realigned, do_compression=True)


def livec() -> None:
    """As the LIVE Challenge: a column of names, rows of scores and deviations; 7 pictures for practice."""
    pictures = [f"t{index}.bmp" for index in range(1, 8)] + ["3.bmp", "4.bmp", "5.bmp", "10.JPG", "1 000.bmp"]
    names = np.empty((len(pictures), 1), dtype=object)
    names[:, 0] = pictures
    scores = np.array([[44.4, 69.5, 30.1, 80, 50, 61, 20, 63.9634, 25.3353, 48.9366, 35.8863, 3.42]])
    savemat(FOLDER / "livec/AllImages_release.mat", {"AllImages_release": names})
    savemat(FOLDER / "livec/AllMOS_release.mat", {"AllMOS_release": scores})
    savemat(FOLDER / "livec/AllStdDev_release.mat", {"AllStdDev_release": np.full(scores.shape, 18.5)})


def odd() -> None:
    """The LIVE Challenge's vectors with a NaN, no name, a name twice, a negative deviation."""
    folder = FOLDER.parent / "odd_labels"
    names = np.empty((6, 1), dtype=object)
    names[:, 0] = ["3.bmp", "5.bmp", "", "3.bmp", "4.bmp", "6.bmp"]
    savemat(folder / "AllImages_release.mat", {"AllImages_release": names})
    savemat(folder / "AllMOS_release.mat", {"AllMOS_release": np.array([[20, np.nan, 40, 50, 60, 70]])})
    savemat(folder / "AllStdDev_release.mat", {"AllStdDev_release": np.array([[1, 1, 1, 1, 1, -1]])})
    savemat(folder / "short.mat", {"AllMOS_release": np.array([[20, 30]])})
    savemat(folder / "damaged.mat", {"AllMOS_release": np.array([[1.5, 2.5, 3, 4, 5, 6]])})
    damaged = bytearray((folder / "damaged.mat").read_bytes())
    damaged[192] = 142
    (folder / "damaged.mat").write_bytes(damaged)


def mine() -> None:
    """A list of one's own, with nested columns and pictures in it, by every codec."""
    frame = pd.DataFrame(
        {
            "file": ["a.png", "b c.png", "d.png", None, "e.png"],
            "score": [10, 20.5, np.nan, 30, 40],
            "scene": [1, 1, 2, 2, 3],
            "held": [True, False, False, False, True],
        }
    )
    table = pa.Table.from_pandas(frame, preserve_index=False)
    struct = pa.array([{"path": f"p{index}.png", "tags": ["x", "y"]} for index in range(5)])
    picture = pa.array([bytes(20_000)] * 5)
    table = table.append_column("source", struct)
    for codec in ["snappy", "gzip", "brotli", "zstd", "none"]:
        packed = table if codec == "none" else table.append_column("picture", picture)
        path = FOLDER / f"mine/{codec}.parquet"
        pq.write_table(packed, path, compression=codec, row_group_size=2, use_dictionary=["file"])


for make in [spaq, bid, csiq, live, livec, odd, mine]:
    make()
