"""`vlqa degrade`: one damage of a picture, or the sheet of all."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from vlqa.errors import ConfigError
from vlqa.types import Pixels

_LOSSLESS: dict[str, tuple[str, dict[str, Any]]] = {
    ".png": ("PNG", {}),
    ".bmp": ("BMP", {}),
    ".tif": ("TIFF", {"compression": "tiff_lzw"}),
    ".tiff": ("TIFF", {"compression": "tiff_lzw"}),
    ".webp": ("WEBP", {"lossless": True, "exact": True}),
}


def degrade(
    image: Annotated[Path, typer.Argument(help="The picture to damage.", show_default=False)],
    output: Annotated[
        Path,
        typer.Option("--output", "-o", help=f"File to write: {', '.join(_LOSSLESS)}.", show_default=False),
    ],
    type: Annotated[
        str | None, typer.Option("--type", "-t", help="Number (1 to 25) or name of the damage, see --sheet.")
    ] = None,
    level: Annotated[int | None, typer.Option("--level", "-l", help="1 (weakest) to 5.")] = None,
    sheet: Annotated[bool, typer.Option("--sheet", help="Draw all 25 types at all 5 levels instead.")] = False,
    seed: Annotated[int, typer.Option("--seed", help="Seed of the random types.")] = 0,
) -> None:
    """Damage a picture as KADID-10k does: 25 types, 5 levels.

    \b
    Examples:
      vlqa degrade photo.jpg --type "motion blur" --level 3 --output moved.png
      vlqa degrade photo.jpg --type 10 --level 5 --output blocky.png
      vlqa degrade photo.jpg --sheet --output sheet.png
    """  # noqa: D301 (typer keeps the lines after a backspace as they are)
    _check_options(image, output, type, level, sheet, seed)
    # Heavy imports wait until here, so that `vlqa --help` is quick.
    from vlqa.data import degradations
    from vlqa.data.images import decode

    if sheet:
        _save(degradations.sheet(decode(image), seed), output)
    else:
        kind = degradations.find(str(type))
        _save(degradations.degrade(decode(image), kind, level or 0, seed), output)
    typer.echo(str(output))


def _check_options(image: Path, output: Path, type: str | None, level: int | None, sheet: bool, seed: int) -> None:
    """Refuse wrong combinations before anything is read."""
    if sheet and (type is not None or level is not None):
        raise ConfigError("--sheet draws every type and level: leave out --type and --level")
    if not sheet and (type is None or level is None):
        missing = " and ".join(name for name, value in (("--type", type), ("--level", level)) if value is None)
        raise ConfigError(f"{missing} missing: name one damage (--type T --level L), or ask for all with --sheet")
    if seed < 0:
        raise ConfigError(f"--seed must be 0 or more, not {seed}")
    if output.suffix.lower() not in _LOSSLESS:
        found = f"{output.suffix} would add damage of its own or is unknown" if output.suffix else "it has no suffix"
        raise ConfigError(f"--output {output}: {found}; end it in one of {', '.join(_LOSSLESS)}")
    if output.is_dir():
        raise ConfigError(f"--output {output} is a directory; name a file")
    if output.exists() and image.exists() and output.samefile(image):
        raise ConfigError(f"--output {output} is the picture itself; name another file")


def _save(pixels: Pixels, output: Path) -> None:
    from PIL import Image

    from vlqa.artifacts import atomic_write

    codec, options = _LOSSLESS[output.suffix.lower()]
    with atomic_write(output) as file:
        Image.fromarray(pixels).save(file, codec, **options)
