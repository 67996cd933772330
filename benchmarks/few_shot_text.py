"""What `few_shot.py` prints and draws of its results."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from protocols import ZERO_SHOT

Result = Mapping[str, Any]


def agreement_text(tables: Mapping[str, Result]) -> str:
    """A row a model, grouped by labels; PLCC as it is, then after the logistic."""
    lines = [
        f"{'labels':<11}{'model':<32}{'SRCC':<22}{'PLCC':<22}{'logistic':<10}{'the first above it, SRCC':<27}p (Holm)"
    ]
    for labels, table in tables.items():
        for place, (name, row) in enumerate(table.items()):
            srcc, plcc = (f"{value:.3f} ({low:.3f}–{high:.3f})" for value, low, high in (row["srcc"], row["plcc"]))
            line = f"{labels if place == 0 else '':<11}{name:<32}{srcc:<22}{plcc:<22}{row['plcc_logistic']:<10.3f}"
            if "difference" in row:
                found = row["difference"]
                line += f"{found['value']:+.3f} ({found['low']:+.3f} to {found['high']:+.3f})".ljust(27)
                line += "< 0.001" if found["corrected"] < 0.001 else f"{found['corrected']:.3f}"
            lines.append(line.rstrip())
    return "\n".join(lines)


def selection_text(result: Result) -> str:
    """Median SRCC a strategy, and the mean paired difference to random."""
    counts = result["labels"]
    lines = ["", f"{'which to label: SRCC, median':<30}" + "".join(f"{f'N = {count}':>12}" for count in counts)]
    for name, row in result["strategies"].items():
        lines.append(f"{name:<30}" + "".join(f"{value:>12.3f}" for value in row["median"]))
    if result[ZERO_SHOT] is not None:
        lines.append(f"{ZERO_SHOT:<30}" + f"{result[ZERO_SHOT]:>12.3f}" * len(counts))
    width = 26
    lines += ["", f"{'above random, mean (95 %)':<30}" + "".join(f"{f'N = {count}':>{width}}" for count in counts)]
    for name, row in result["strategies"].items():
        if name == "random":
            continue
        cells = (f"{value:+.3f} ({low:+.3f} to {high:+.3f})" for value, low, high in row["above_random"])
        lines.append(f"{name:<30}" + "".join(f"{cell:>{width}}" for cell in cells))
    return "\n".join(lines)


def coverage_text(result: Result) -> str:
    """A line a number of labels."""
    lines = [""]
    for count, row in result.items():
        low, high = row["of splits"]
        lines.append(
            f"{row['promised']:.0%} intervals, {count} labels, {row['splits']} splits: hold {row['mean']:.1%} "
            f"(nine splits of ten {low:.1%}–{high:.1%}), width {row['width']:.1f} "
            f"(of a constant {row['width of a constant']:.1f})"
        )
    return "\n".join(lines)


def times_text(result: Result) -> str:
    """Seconds a number of labels."""
    lines = ["", f"{'seconds to fit, with intervals':<32}" + "".join(f"{f'N = {count}':>10}" for count in result)]
    for name in ("median", "fastest", "cpu"):
        lines.append(f"{name:<32}" + "".join(f"{row[name]:>10.2f}" for row in result.values()))
    return "\n".join(lines)


def selection_plot(result: Result, file: Path) -> None:
    """SRCC against labels, a line a strategy with its quartiles."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 4.5), layout="constrained")
    counts = result["labels"]
    for name, row in result["strategies"].items():
        low, high = zip(*row["quartiles"], strict=True)
        (line,) = axes.plot(counts, row["median"], marker="o", markersize=4, linewidth=2 if name != "random" else 1.5,
                            linestyle="--" if name == "random" else "-", label=name)  # fmt: skip
        axes.fill_between(counts, low, high, color=line.get_color(), alpha=0.1, linewidth=0)
    if result[ZERO_SHOT] is not None:
        axes.axhline(result[ZERO_SHOT], color="grey", linewidth=1, label="no labels")
    axes.set_xscale("log")
    axes.set_xticks(counts, [str(count) for count in counts])
    axes.minorticks_off()
    axes.set_xlabel("rated pictures")
    axes.set_ylabel("SRCC on other pictures, median and quartiles")
    axes.legend(frameon=False)
    figure.savefig(file, dpi=120)
    plt.close(figure)
