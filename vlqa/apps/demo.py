"""`make demo`: two photographs, four kinds of damage at two strengths, and what the bundled default says of each."""

from __future__ import annotations

import warnings
from pathlib import Path

from PIL import Image
from rich.console import Console
from rich.table import Table

from vlqa import degrade, load
from vlqa.data.degradations import find
from vlqa.types import Assessment

FOLDER = Path(".demo")
DAMAGES = (("gaussian blur", 4), ("jpeg", 5), ("white noise", 5), ("darken", 5))


def main() -> None:
    """Degrade scikit-learn's two photographs, score all ten pictures, print the table."""
    FOLDER.mkdir(exist_ok=True)
    predictor = load()
    table = Table(title="vlqa's bundled default on scikit-learn's two photographs", title_justify="left", box=None)
    for title in ("picture", "damage", "quality", "score 1–5", "scene", "distortion"):
        table.add_column(title, justify="right" if title.startswith("score") else "left")
    for photo in photographs():
        pictures = [photo, *(damaged(photo, name, level) for name, level in DAMAGES)]
        what = ["none", *(f"{name}, level {level}" for name, level in DAMAGES)]
        for picture, damage, record in zip(pictures, what, predictor.assess(pictures), strict=True):
            table.add_row(*_row(picture, damage, record))
        table.add_section()
    Console(width=120).print(table)
    Console(stderr=True).print(f"the pictures are in {FOLDER}/; score your own with: .venv/bin/vlqa score PATH")


def photographs() -> list[Path]:
    """scikit-learn's china and flower photographs, as files in the demo's folder."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import sklearn.datasets

        names = [Path(sklearn.datasets.__file__).parent / "images" / name for name in ("china.jpg", "flower.jpg")]
    copies = []
    for source in names:
        copy = FOLDER / source.name
        copy.write_bytes(source.read_bytes())
        copies.append(copy)
    return copies


def damaged(photo: Path, name: str, level: int) -> Path:
    """A degraded copy beside the photograph."""
    path = FOLDER / f"{photo.stem}_{find(name).name.replace(' ', '_')}_{level}.png"
    Image.fromarray(degrade(photo, name, level)).save(path)
    return path


def _row(picture: Path, damage: str, record: Assessment) -> tuple[str, ...]:
    if record.error is not None or record.quality is None:
        return picture.name, damage, record.error or "", "", "", ""
    bar = "█" * round(record.quality * 20)
    scene = (
        f"{(record.scene or '').replace('_', ' ')} {(record.scene_probabilities or {}).get(record.scene or '', 0):.0%}"
    )
    probability = (record.distortion_probabilities or {}).get(record.distortion or "", 0)
    return picture.stem.split("_")[0], damage, bar, f"{record.raw:.2f}", scene, f"{record.distortion} {probability:.0%}"


if __name__ == "__main__":
    main()
