"""LIQE's six sets in small: folders, names and label files as their authors and LIQE have them; pictures made here."""

from __future__ import annotations

from pathlib import Path

import cv2
from PIL import Image

from tests.synthetic import picture

_SETS = {
    "live": (
        "databaserelease2", "image,mos,distortion,scenes",
        ["fastfading/img1.bmp,36.1,white noise,animal|plant", "wn/img8.bmp,96.2,white noise,still_life",
         "jpeg/img23.bmp,31.8,jpeg compression,human|landscape"],
    ),
    "csiq": (
        "CSIQ", "image,mos,distortion,scenes",
        ["dst_imgs/awgn/1600.AWGN.1.png,0.938,white noise,cityscape|human|plant",
         "dst_imgs/fnoise/aerial_city.fnoise.1.png,0.874,fnoise,cityscape",
         "dst_imgs/jpeg/lake.JPEG.5.png,0.27,jpeg compression,landscape"],
    ),
    "kadid10k": (
        "kadid10k/images", "image,reference,type_id,level,mos,mos_std",
        ["I01_01_01.png,01,1,1,4.57,0.70", "I05_22_03.png,05,22,3,4.07,0.94", "I39_19_05.png,39,19,5,1.07,0.50"],
    ),
    "bid": (
        "BID", "image,mos,mos_std",
        ["ImageDatabase/DatabaseImage0001.JPG,4.52,0.53", "ImageDatabase/DatabaseImage0003.JPG,1.30,0.93",
         "ImageDatabase/DatabaseImage0546.JPG,1.68,0.66"],
    ),
    "clive": (
        "ChallengeDB_release", "path,mos,distortion,scenes",
        ["Images/611.jpg,38.5,realistic blur,landscape", "Images/509.jpg,40.5,realistic blur,plant",
         "Images/7.jpg,,realistic noise,night"],
    ),
    "koniq10k": (
        "koniq-10k", "image,mos,distortion,scenes",
        ["1024x768/149836125.jpg,2.84,underexposure,indoor", "1024x768/6285698915.jpg,4.15,other realistic,still_life",
         "1024x768/10004473376.jpg,3.83,other realistic,landscape"],
    ),
}  # fmt: skip


def write_six_sets(folder: Path) -> None:
    """`data/` as the recipes in configs/ expect it, seen from their own folder."""
    (folder / "data" / "labels").mkdir(parents=True)
    for number, (name, (images, header, rows)) in enumerate(_SETS.items()):
        text = header + "\n" + "\n".join(rows) + "\n"
        (folder / "data" / "labels" / f"{name}.csv").write_text(text, encoding="utf-8")
        for level, row in enumerate(rows):
            path = folder / "data" / images / row.split(",")[0]
            path.parent.mkdir(parents=True, exist_ok=True)
            pixels = picture(48 + 4 * number, 56, 10 * number + level)
            Image.fromarray(cv2.GaussianBlur(pixels, (0, 0), 0.3 + level)).save(path)
