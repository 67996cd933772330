"""Small copies of the public sets: folders, names and formats as their authors have them; pictures are empty files.

Scores and names are made up, except for what a name tells.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from xml.sax.saxutils import escape

import h5py
import numpy as np
import scipy.io

LIVE_PARTS = {"jp2k": 227, "jpeg": 233, "wn": 174, "gblur": 174, "fastfading": 174}


def touch(folder: Path, names: Iterable[str]) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def write_text(path: Path, *lines: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def write_workbook(path: Path, sheets: Mapping[str, Sequence[Sequence[object]]]) -> None:
    """The least that is an Excel workbook; empty cells for None. Written by hand, so that openpyxl only reads."""
    path.parent.mkdir(parents=True, exist_ok=True)
    main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    relations = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    package = "http://schemas.openxmlformats.org/package/2006"
    kind = "application/vnd.openxmlformats-officedocument.spreadsheetml"
    numbers = range(1, len(sheets) + 1)

    def cell(value: object) -> str:
        if value is None:
            return "<c/>"
        if isinstance(value, str):
            return f'<c t="inlineStr"><is><t>{escape(value)}</t></is></c>'
        return f"<c><v>{value!r}</v></c>"

    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        parts = "".join(
            f'<Override PartName="/xl/worksheets/sheet{n}.xml" ContentType="{kind}.worksheet+xml"/>' for n in numbers
        )
        archive.writestr(
            "[Content_Types].xml",
            f'<Types xmlns="{package}/content-types">'
            '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
            f'<Override PartName="/xl/workbook.xml" ContentType="{kind}.sheet.main+xml"/>{parts}</Types>',
        )
        archive.writestr(
            "_rels/.rels",
            f'<Relationships xmlns="{package}/relationships">'
            f'<Relationship Id="rId1" Type="{relations}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
        )
        listed = "".join(f'<sheet name="{name}" sheetId="{n}" r:id="rId{n}"/>' for n, name in enumerate(sheets, 1))
        archive.writestr(
            "xl/workbook.xml", f'<workbook xmlns="{main}" xmlns:r="{relations}"><sheets>{listed}</sheets></workbook>'
        )
        targets = "".join(
            f'<Relationship Id="rId{n}" Type="{relations}/worksheet" Target="worksheets/sheet{n}.xml"/>'
            for n in numbers
        )
        archive.writestr(
            "xl/_rels/workbook.xml.rels", f'<Relationships xmlns="{package}/relationships">{targets}</Relationships>'
        )
        for n, rows in enumerate(sheets.values(), 1):
            data = "".join(f"<row>{''.join(map(cell, row))}</row>" for row in rows)
            archive.writestr(
                f"xl/worksheets/sheet{n}.xml", f'<worksheet xmlns="{main}"><sheetData>{data}</sheetData></worksheet>'
            )


def cells(words: Sequence[str], column: bool = False) -> np.ndarray:
    """A cell array of words for savemat, 1×n or n×1."""
    array = np.empty((len(words), 1) if column else (1, len(words)), dtype=object)
    array.ravel()[:] = words
    return array


def write_mat_73(path: Path, variables: Mapping[str, np.ndarray | Sequence[str]]) -> None:
    """A MATLAB 7.3 file: HDF5 behind 512 bytes of text, axes reversed, words as numbers behind references."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w", userblock_size=512) as store:
        for name, value in variables.items():
            if isinstance(value, np.ndarray):
                store[name] = value.T
                store[name].attrs["MATLAB_class"] = np.bytes_("double")
                continue
            references = store.create_dataset(name, (1, len(value)), dtype=h5py.ref_dtype)
            references.attrs["MATLAB_class"] = np.bytes_("cell")
            for index, word in enumerate(value):
                letters = np.array([[ord(letter)] for letter in word], dtype=np.uint16)
                store[f"#refs#/{name}{index}"] = letters
                store[f"#refs#/{name}{index}"].attrs["MATLAB_class"] = np.bytes_("char")
                references[0, index] = store[f"#refs#/{name}{index}"].ref
    with path.open("r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\x00\x02IM")


def live_arrays(damaged: Mapping[str, float], reference: str = "bikes.bmp") -> dict[str, np.ndarray]:
    """LIVE's arrays of 982 in which all but the given pictures (part/imgN.bmp: DMOS) are references."""
    names = [f"{part}/img{k}.bmp" for part, size in LIVE_PARTS.items() for k in range(1, size + 1)]
    assert set(damaged) <= set(names)
    dmos = np.array([[damaged.get(name, 0.0) for name in names]])
    return {
        "dmos_new": dmos,
        "dmos_std": np.where(dmos == 0, 0, 5.5),
        "orgs": np.array([[name not in damaged for name in names]], dtype=np.uint8),
        "refnames_all": cells([reference] * len(names)),
    }


def write_live(root: Path) -> None:
    damaged = {"fastfading/img174.bmp": 60.5, "jp2k/img1.bmp": -2.5, "jpeg/img233.bmp": 100.25}
    arrays = live_arrays(damaged)
    touch(root, [*damaged, "refimgs/bikes.bmp"])
    scipy.io.savemat(root / "refnames_all.mat", {"refnames_all": arrays.pop("refnames_all")})
    scipy.io.savemat(root / "dmos_realigned.mat", arrays)


def write_csiq(root: Path) -> None:
    header = [None, None, None, "image", "dst_idx", "dst_type", "dst_lev", "dmos_std", "dmos", "more"]
    rows = [
        [None, None, None, 1600, 1, "noise", 1, 0.06, 0.062, 7],
        [None, None, None, "foxy", 3, "jpeg 2000", 5, 0.1, 1, None],
        [None, None, None, "foxy", 6, "contrast", 4, 0.1, 0.25, None],
        [None] * 10,
    ]
    sheets = {
        "all_by_distortion": [["image", "dmos"], ["unused", 9]],
        "all_by_image": [[None], ["notes"], [], header, *rows],
    }
    write_workbook(root / "csiq.DMOS.xlsx", sheets)
    touch(root / "dst_imgs", ["awgn/1600.AWGN.1.png", "jpeg2000/foxy.jpeg2000.5.png", "contrast/foxy.contrast.4.png"])
    touch(root / "src_imgs", ["1600.png", "foxy.png"])


def write_tid2013(root: Path) -> None:
    write_text(root / "mos_with_names.txt", "5.51429 I01_01_1.bmp", "0.24242 i25_24_5.bmp", "")
    write_text(root / "mos_std.txt", "0.13013", "0.2")
    touch(root, ["distorted_images/i01_01_1.bmp", "distorted_images/I25_24_5.BMP"])
    touch(root, ["reference_images/I01.BMP", "reference_images/i25.bmp"])


def write_kadid10k(root: Path) -> None:
    rows = ["I01_01_01.png,I01.png,4.57,0.496", "I81_25_05.png,I81.png,1.2,0.4"]
    write_text(root / "dmos.csv", "dist_img,ref_img,dmos,var", *rows)
    touch(root / "images", ["I01_01_01.png", "I81_25_05.png", "I01.png", "I81.png"])


def write_pipal(root: Path) -> None:
    write_text(root / "Train_Label" / "A0001.txt", "A0001_00_00.bmp,1517.5", "A0001_06_12.bmp,1300")
    write_text(root / "Train_Label" / "A0249.txt", "A0249_03_23.bmp,1599.25")
    touch(root, ["Distortion_1/A0001_00_00.bmp", "Distortion_1/A0001_06_12.bmp", "Distortion_4/A0249_03_23.bmp"])
    touch(root / "Train_Ref", ["A0001.bmp", "A0249.bmp"])


def write_bid(root: Path) -> None:
    rows = [["Image Number", "Average Subjective Grade", "std"], [1, 4.51664, 0.534734], [590, 2, 0.84]]
    write_workbook(root / "DatabaseGrades.xlsx", {"Plan1": rows})
    touch(root / "ImageDatabase", ["DatabaseImage0001.JPG", "DatabaseImage0590.JPG"])


def write_clive(root: Path) -> None:
    names = [f"t{k}.bmp" for k in range(1, 8)] + ["3.bmp", "1024.JPG"]
    mos = np.array([[*range(7), 63.96, 12.5]])
    (root / "Data").mkdir(parents=True)
    scipy.io.savemat(root / "Data" / "AllImages_release.mat", {"AllImages_release": cells(names, column=True)})
    scipy.io.savemat(root / "Data" / "AllMOS_release.mat", {"AllMOS_release": mos})
    scipy.io.savemat(root / "Data" / "AllStdDev_release.mat", {"AllStdDev_release": mos / 4})
    touch(root / "Images", names[7:])
    touch(root / "Images" / "trainingImages", names[:7])


KONIQ = ("10004473376.jpg", "826373.jpg")


def write_koniq10k(root: Path, size: str = "1024x768") -> None:
    write_text(
        root / "koniq10k_scores_and_distributions.csv",
        "image_name,c1,c2,c3,c4,c5,c_total,MOS,SD,MOS_zscore",
        f'"{KONIQ[0]}",0,0,25,73,7,105,3.828571429,0.527277894,77.38362069',
        f'"{KONIQ[1]}",50,50,0,0,0,100,1.5,0.5,10.2',
    )
    write_koniq_sets(root / "koniq10k_distributions_sets.csv")
    touch(root / size, KONIQ)


def write_koniq_sets(path: Path) -> None:
    write_text(
        path,
        "image_name,c1,c2,c3,c4,c5,c_total,MOS,SD,set",
        f"{KONIQ[1]},0.5,0.5,0.0,0.0,0.0,100,10.2,0.5,validation",
        f"{KONIQ[0]},0.0,0.0,0.238095238095,0.695238095238,0.0666666666667,105,77.3836206897,0.5273,training",
    )


def write_koniq10k_512(root: Path) -> None:
    write_koniq10k(root, "512x384")


def write_spaq(root: Path) -> None:
    scores = [["Image name", "MOS", "Brightness"], ["00001.jpg", 53, 1], ["00002.jpg", 27.5, 1]]
    names = [
        "Animal",
        "Cityscape",
        "Human",
        "Indoor scene",
        "Landscape",
        "Night scene",
        "Plant",
        "Still-life",
        "Others",
    ]
    scenes = [["Image name", *names], ["00002.jpg", 0, 0.5, 0, 0, 0, 0.5, 0, 0, 0], ["00001.jpg", *[0] * 7, 1, 0]]
    write_workbook(root / "Annotations" / "MOS and Image attribute scores.xlsx", {"Sheet1": scores})
    write_workbook(root / "Annotations" / "Scene category labels.xlsx", {"Sheet1": scenes})
    touch(root / "TestImage", ["00001.jpg", "00002.jpg"])


def write_flive(root: Path) -> None:
    names = ["voc_emotic_ava/AVA__1.jpg", "blur_dataset/motion0091.jpg", "EE371R/rq59.jpg"]
    write_text(root / "labels_image.csv", "name,mos", f"{names[0]},72.8", f"{names[1]},0.0", f"{names[2]},65")
    write_text(root / "labels640.csv", "mos_image,name_image", f"65,{names[2]}")
    write_text(root / "labels=640_padded.csv", "name_image,is_valid", f"{names[0]},False", f"{names[1]},True")
    touch(root / "database", names)


def write_agiqa1k(root: Path) -> None:
    rows = [
        ["Image", "Prompt", "MOS"],
        ["deepai_0_0_0_0.jpg", "bird, city", 2.7],
        ["dreamStudio_1_6_1_1.jpg", "cat", 3],
    ]
    write_workbook(root / "AIGC_MOS_Zscore.xlsx", {"Sheet1": rows})
    touch(root / "file", ["deepai_0_0_0_0.jpg", "dreamStudio_1_6_1_1.jpg"])


def write_agiqa3k(root: Path) -> None:
    write_text(
        root / "data.csv",
        "name,prompt,adj1,adj2,style,mos_quality,std_quality,mos_align,std_align",
        "AttnGAN_normal_000.jpg,statue of a man,,,,0.965602553,0.223270101,0.40889324,0.615607722",
        'sdxl_060.jpg,"art, anime style",,,anime style,3.5,0.7,0.8,0.8',
    )
    touch(root / "images", ["AttnGAN_normal_000.jpg", "sdxl_060.jpg"])


def write_cgiqa6k(root: Path) -> None:
    write_text(root / "mos.csv", "Image,MOS", "game_1.png,3.25", "film_2.png,1.5")
    touch(root / "database", ["game_1.png", "film_2.png"])


def write_uhd_iqa(root: Path) -> None:
    write_text(
        root / "uhd-iqa-metadata.csv",
        "image_name,quality_mos,set,subset,orig_width",
        "1.jpg,0.61,training,,5000",
        "2.jpg,0.4,validation,,5000",
        "3.jpg,0.75,test,exclusive,5000",
    )
    touch(root, ["training/1.jpg", "validation/2.jpg", "test/3.jpg"])


WRITERS: dict[str, Callable[[Path], None]] = {
    "live": write_live,
    "csiq": write_csiq,
    "tid2013": write_tid2013,
    "kadid10k": write_kadid10k,
    "pipal": write_pipal,
    "bid": write_bid,
    "clive": write_clive,
    "koniq10k": write_koniq10k,
    "koniq10k-512": write_koniq10k_512,
    "spaq": write_spaq,
    "flive": write_flive,
    "agiqa1k": write_agiqa1k,
    "agiqa3k": write_agiqa3k,
    "cgiqa6k": write_cgiqa6k,
    "uhd-iqa": write_uhd_iqa,
}
EXCEL = ("csiq", "bid", "spaq", "agiqa1k")
