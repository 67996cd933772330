"""All pictures that the inputs of a command name, whatever kind of input each is."""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, TypeAlias

from vlqa.data.formats import has_picture_suffix, most_bytes
from vlqa.data.images import MAX_PIXELS
from vlqa.data.sources import archives, parquet, web
from vlqa.data.sources.download import Download
from vlqa.data.sources.kinds import Kind, kind_of
from vlqa.data.sources.limits import Allowance, Limits
from vlqa.data.sources.lists import expand_braces, read_names
from vlqa.data.sources.named import NamedPictures, holder_of
from vlqa.data.walk import walk
from vlqa.errors import ConfigError
from vlqa.types import Source

Picture: TypeAlias = str | Source

STANDARD_INPUT = "-"

_WEB_BYTES = 1 << 28  # several pictures are fetched at once, from servers that nobody vouches for
_DOWNLOAD_BYTES = 1 << 34  # of archives and tables, on the disk at a time: many times what a shard has
_DOWNLOAD_S = 3600.0


class PictureFinder:
    """Finds the pictures in inputs, lazily and in their order.

    Args:
        standard_input: where `-` is read from; None where there is none.
        max_pixels: of a picture; a file in an archive or a table, or on the web, that is too large even for so many is
            refused before it is read.
        private_addresses: whether addresses of this machine and of private networks may be fetched.
        on_empty: called with each folder, archive, table or list that holds no picture.
    """

    def __init__(
        self,
        standard_input: BinaryIO | None = None,
        *,
        max_pixels: int = MAX_PIXELS,
        private_addresses: bool = True,
        on_empty: Callable[[str], None] | None = None,
    ) -> None:
        self.standard_input = standard_input
        self.most_bytes = most_bytes(max_pixels)
        self.limits = Limits(min(self.most_bytes, _WEB_BYTES), private=private_addresses)
        self.file_limits = Limits(_DOWNLOAD_BYTES, total_s=_DOWNLOAD_S, private=private_addresses)
        self.allowance = Allowance(_DOWNLOAD_BYTES)
        self.on_empty = on_empty
        self._members = NamedPictures(self._listed)

    def find(self, inputs: Iterable[str]) -> Iterator[Picture]:
        """The pictures that the inputs name.

        An input is a file, a folder or a glob (see `walk`), a pattern with braces, a tar archive or a Parquet file, an
        http or https address of a picture, an archive or a table, `@FILE`, a list of any of these but patterns and
        lists, or `-`, such a list on standard input. What exists is never taken for a list or a pattern, but `-` always
        for standard input.

        Yields:
            Paths of files, and sources of all other pictures. What cannot be read is a path or source that fails.

        Raises:
            ConfigError: at once where a list that is no pipe cannot be read or standard input is named twice.
        """
        inputs = list(inputs)
        for given in filter(is_list, inputs):
            if given != STANDARD_INPUT:
                _check_list(given)
        if inputs.count(STANDARD_INPUT) > 1:
            raise ConfigError("standard input (-) can be read once only; name it once")
        return self._found(inputs)

    def member(self, name: str, folder: str | os.PathLike[str] = "") -> Source | None:
        """The picture in an archive or a table that a name such as `shard.tar/00001.jpg` leads to; None for others."""
        place = holder_of(name, folder)
        return None if place is None else self._members.find(*place)

    def elsewhere(self, name: str, folder: str | os.PathLike[str]) -> Source | None:
        """As `member`; or the picture at an address. None for what is a file."""
        return self.member(name, folder) or (self._fetched(name) if web.is_address(name) else None)

    def _found(self, inputs: Iterable[str]) -> Iterator[Picture]:
        for given in inputs:
            if is_list(given):
                yield from self._counted(self._in_list(given), given)
            elif web.is_address(given):
                for address in expand_braces(given):
                    yield from self._at(address)
            else:
                for pattern in [given] if os.path.lexists(given) else expand_braces(given):
                    for path in walk([pattern], self.on_empty):
                        yield from self._in_file(path)

    def _in_list(self, given: str) -> Iterator[Picture]:
        if given == STANDARD_INPUT:
            if self.standard_input is not None:
                yield from self._named(read_names(self.standard_input, "standard input"))
            return
        with _open_list(given) as file:
            yield from self._named(read_names(file, given[1:]))

    def _named(self, names: Iterator[str]) -> Iterator[Picture]:
        for name in names:
            if web.is_address(name):
                yield from self._at(name)
            elif has_picture_suffix(name):  # most are, and need not be looked for
                yield self.member(name) or name
            elif os.path.isdir(name):  # noqa: PTH112 - Path.is_dir raises where a name is too long
                yield from walk([name], self.on_empty)
            else:
                yield from self._in_file(name)

    def _in_file(self, path: str) -> Iterator[Picture]:
        if kind_of(path) is Kind.PICTURE:
            yield self.member(path) or path
        else:
            yield from self._counted(self._listed(path), path)

    def _at(self, address: str) -> Iterator[Picture]:
        if kind_of(address) is Kind.PICTURE:
            yield self.member(address) or self._fetched(address)
        else:
            yield from self._counted(self._listed(address), address)

    def _listed(self, holder: str) -> Iterator[Source]:
        """The pictures of an archive or a table."""
        inside = parquet.rows if kind_of(holder) is Kind.TABLE else archives.members
        fetched = Download(holder, self.file_limits, self.allowance) if web.is_address(holder) else None
        return inside(holder, self.most_bytes, fetched)

    def _fetched(self, address: str) -> Source:
        return Source(address, functools.partial(web.fetch, address, self.limits))

    def _counted(self, found: Iterable[Picture], name: str) -> Iterator[Picture]:
        empty = True
        for picture in found:
            empty = False
            yield picture
        if empty and self.on_empty is not None:
            self.on_empty(name)


def is_list(given: str) -> bool:
    """Whether an input is a list: `-`, or `@FILE` where no file is called so itself."""
    return given == STANDARD_INPUT or (given.startswith("@") and len(given) > 1 and not os.path.lexists(given))


def _check_list(given: str) -> None:
    with contextlib.suppress(OSError):
        if Path(given[1:]).is_fifo():  # can be opened once only, and waits for who writes it
            return
    _open_list(given).close()


def _open_list(given: str) -> BinaryIO:
    try:
        return Path(given[1:]).open("rb")
    except OSError as error:
        raise ConfigError(f"{given}: the list cannot be read ({error.strerror}); check its path") from None
