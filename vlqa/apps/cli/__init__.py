"""The command line: one file a group of commands. Nothing heavy is imported before a command runs."""

from __future__ import annotations

import atexit
import gc
import os
import signal
import sys
import warnings
from collections.abc import Callable
from typing import Any, NoReturn

import typer

from vlqa.apps.cli.convert import convert
from vlqa.apps.cli.datasets import app as datasets_app
from vlqa.apps.cli.degrade import degrade
from vlqa.apps.cli.embed import embed
from vlqa.apps.cli.evaluate import evaluate
from vlqa.apps.cli.export import export
from vlqa.apps.cli.fit import fit
from vlqa.apps.cli.models import models
from vlqa.apps.cli.pristine import pristine
from vlqa.apps.cli.prompts import app as prompts_app
from vlqa.apps.cli.score import SOME_FAILED, score
from vlqa.apps.cli.select import select
from vlqa.apps.cli.train import train
from vlqa.errors import VLQAError
from vlqa.machine import usable_cores

WRONG_USE = 2
_NEW_OBJECTS = 5_000  # between two collections: importing torch makes many, which all stay
_SHOW_CURSOR = "\x1b[?25h"

app = typer.Typer(
    name="vlqa",
    help="How good does a photograph look? Scores without a reference picture.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (score, evaluate, fit, select, embed, train, convert, export, pristine, degrade, models):
    app.command()(command)
app.add_typer(prompts_app, name="prompts")
app.add_typer(datasets_app, name="datasets")


@app.callback(invoke_without_command=True)
def _options(version: bool = typer.Option(False, "--version", help="Print the version and leave.")) -> None:
    if version:
        from vlqa import __version__

        typer.echo(__version__)
        raise typer.Exit


def main() -> None:
    """Entry point of `vlqa`; does not return."""
    gc.set_threshold(_NEW_OBJECTS)
    _open_standard_streams()
    _on_signals(_end_in_order)
    _share_cores()
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a file name that is no UTF-8 must not end the run
            stream.reconfigure(errors="backslashreplace")
    warnings.showwarning = _show_warning
    _leave(run())


def run() -> int:
    """Run the command; its status. An error that is the user's to mend is one line on standard error and status 2."""
    try:
        app()
    except SystemExit as end:
        if isinstance(end.code, str):
            typer.echo(end.code, err=True)
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except VLQAError as error:
        typer.echo(f"error: {_one_line(error)}", err=True)
    except BrokenPipeError:  # the reader (head, less) has seen enough
        return SOME_FAILED
    except OSError as error:  # a folder that cannot be made, a disk that is full
        where = "" if error.filename is None else f"{error.filename}: "
        typer.echo(f"error: {where}{error.strerror or error}", err=True)
    except KeyboardInterrupt:
        return _status_of(signal.SIGINT)
    return WRONG_USE


def _leave(status: int) -> NoReturn:
    """End now: to take all of torch apart, as Python does at its end, takes it a second and more."""
    _on_signals(_end_at_once)
    try:
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
    except BrokenPipeError:
        status = status or SOME_FAILED
    except OSError as error:
        typer.echo(f"error: standard output: {error.strerror}", err=True)
        status = WRONG_USE
    os._exit(status)


def _end_in_order(number: int, _: object) -> NoReturn:
    """Let Ctrl-C and `kill` end a run between two steps of Python, its records kept; a second of them at once."""
    _on_signals(_end_at_once)
    raise KeyboardInterrupt if number == signal.SIGINT else SystemExit(_status_of(number))


def _end_at_once(number: int, _: object) -> NoReturn:
    if sys.stderr.isatty():
        os.write(sys.stderr.fileno(), _SHOW_CURSOR.encode())
    os._exit(_status_of(number))


def _on_signals(end: Callable[[int, object], NoReturn]) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as a shell's for what runs in the background
            signal.signal(number, end)


def _status_of(number: int) -> int:
    return 128 + number  # as shells report a signal


def _share_cores() -> None:
    """Settings of OpenMP, which torch computes with, that the environment does not make already.

    No more threads than a container's quota keeps running: OpenMP asks the processor only. And threads that wait for
    each other sleep sooner than usual, which leaves the cores to other jobs and to those of the threads that are late.
    """
    if usable_cores() < (os.cpu_count() or 1):
        os.environ.setdefault("OMP_NUM_THREADS", str(usable_cores()))
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "2000")


def _open_standard_streams() -> None:
    """Give closed standard streams the null device: the next file opened would take their place otherwise."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free number is this one
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, "r" if number == 0 else "w", closefd=False))


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    typer.echo(f"warning: {_one_line(message)}", err=True)


def _one_line(message: object) -> str:
    from vlqa.data.complaints import one_line  # imports decoders, which most commands' help does without

    return one_line(" ".join(str(message).split()))
