"""From a folder on disk to a manifest, and what is missing there."""

from __future__ import annotations

import os
from pathlib import Path

from vlqa.data.catalog.folder import Folder
from vlqa.data.catalog.table import PublicSet, find
from vlqa.data.manifest import Manifest
from vlqa.data.table import Table
from vlqa.errors import ManifestError

_ABOVE = 2  # folders above the given one in which the label file is looked for, to name the right one


def read_dataset(name: str, root: str | os.PathLike[str]) -> Manifest:
    """The rows of a public set, read from the folder its authors pack it in. No picture is opened, none need be there.

    >>> import vlqa
    >>> vlqa.read_dataset("kadid10k", "data/kadid10k").where(distortion="jpeg")  # doctest: +SKIP

    Args:
        name: of the catalogue, see `vlqa datasets list`.
        root: the set's folder, or the one in which it was unpacked.

    Returns:
        A manifest with mos on the set's own scale, turned where needed so that higher is better; with mos_std,
        distortion, scenes, split, reference and group where the set has them; paths as the disk spells them.

    Raises:
        ConfigError: there is no such set.
        ManifestError: no such folder, no label file of the set in it, or a damaged one; one line with the remedy.
        MissingExtraError: the label file is Excel's or MATLAB 7.3's, and vlqa[datasets] is not installed.
    """
    row = find(name)
    folder = locate(row, Path(root))
    table = row.read(folder)
    images = folder if not row.images else Folder(folder.find(row.images) or folder.path / row.images, row.home)
    return Manifest.of(_as_on_disk(table, images), images.path)


def missing_files(manifest: Manifest) -> list[Path]:
    """Pictures of a manifest, and references, at which there is no file; each once, in the manifest's order."""
    references = () if manifest.reference is None else (manifest.images / name for name in manifest.reference)
    missing = [*manifest.missing_files(), *(path for path in references if not path.is_file())]
    return list(dict.fromkeys(missing))


def locate(row: PublicSet, root: Path) -> Folder:
    """The folder with the set's label file: the given one, or one in it that has the set's usual name.

    Raises:
        ManifestError: there is none; the message names what was looked for, or the folder above that has it.
    """
    if not root.is_dir():
        what = "this is a file; unpack it" if root.is_file() else "no such folder"
        raise ManifestError(f"{root}: {what}; {row.title} comes from {row.home}")
    here = Folder(root, row.home)
    inside = sorted({name for name in here.entries().values() if name.casefold() in row.folders})
    for folder in (here, *(Folder(root / name, row.home) for name in inside)):
        if folder.find(*row.labels):
            return folder
    for above in root.resolve().parents[:_ABOVE]:
        if Folder(above, row.home).find(*row.labels):
            raise ManifestError(f"{root}: this is a part of {row.title}; give the whole folder, {above}")
    raise ManifestError(
        f"{root}: no label file of {row.title} here or in {' or '.join(row.folders)}; "
        f"looked for {' or '.join(row.labels)}; it comes from {row.home}"
    )


def _as_on_disk(table: Table, images: Folder) -> Table:
    """The same rows with paths and references as the disk spells them, where it has them."""
    spelled = [name in ("path", "reference") for name in table.columns]
    return Table(
        table.file,
        table.columns,
        tuple(
            (
                line,
                tuple(
                    images.on_disk(cell) or cell if is_path else cell
                    for cell, is_path in zip(cells, spelled, strict=True)
                ),
            )
            for line, cells in table.rows
        ),
        table.unit,
    )
