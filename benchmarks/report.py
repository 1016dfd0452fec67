"""Rows of a benchmark: measures them in turn, prints a table, and writes JSON and a figure."""

import json
import platform
import statistics
import time
from dataclasses import asdict, dataclass, field
from datetime import date
from functools import partial
from pathlib import Path

from diffusion_lab.plots import BLUE, VERMILLION, styled


@dataclass
class Row:
    """One line of the table.

    The goal is that `value` is `at_least` or `at_most` a number. `numbers` are what `value` was
    computed from.
    """

    name: str
    value: float
    at_least: float | None = None
    at_most: float | None = None
    unit: str = "×"
    numbers: dict = field(default_factory=dict)

    @property
    def target(self):
        if self.at_least is None and self.at_most is None:
            return ""
        return f"≥ {self.at_least:g}" if self.at_most is None else f"≤ {self.at_most:g}"

    @property
    def measured(self):
        value = f"{self.value:.2f}" if abs(self.value) >= 0.01 else f"{self.value:.1g}"
        return f"{value} {self.unit}".strip()

    @property
    def holds(self):
        return (self.at_least is None or self.value >= self.at_least) and (
            self.at_most is None or self.value <= self.at_most
        )


def in_turn(contestants, rounds=3):
    """Runs {name: function} alternately, for `rounds` rounds after one that does not count.

    If the machine becomes slower or faster, that affects all of a round. So only ratios within a
    round should be compared.

    Returns:
        {name: [seconds of each round]}.
    """
    seconds = {name: [] for name in contestants}
    for round_ in range(rounds + 1):
        for name, function in contestants.items():
            begin = time.perf_counter()
            function()
            if round_:
                seconds[name].append(time.perf_counter() - begin)
    return seconds


def times_faster(seconds, slow, fast):
    """Returns the median over rounds of how many times faster `fast` was than `slow`."""
    return statistics.median(a / b for a, b in zip(seconds[slow], seconds[fast]))


def medians(seconds):
    return {name: statistics.median(values) for name, values in seconds.items()}


def machine():
    """Returns the machine and the date, which every measurement needs."""
    import os

    about = {
        name.strip(): value.strip()
        for name, _, value in (line.partition(":") for line in _lines("/proc/cpuinfo"))
    }
    model = about.get("model name") or platform.processor() or platform.machine()
    instructions = [
        name
        for name in ("amx_bf16", "avx512_bf16", "avx512f", "avx2")
        if name in about.get("flags", "").split()
    ]
    widest = f" with {instructions[0]}" if instructions else ""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {"machine": f"{cores} cores of {model}{widest}", "date": date.today().isoformat()}


def _lines(path):
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []


def publish(title, command, rows, path, draw=None, note=""):
    """Prints the rows, and writes them to `path`.json, .md (with the note) and .png.

    The .png shows bars, or what `draw(title, path)` draws.
    """
    from rich.console import Console
    from rich.table import Table

    where = machine()
    targets = ("must reach", "") if any(row.target for row in rows) else ()
    columns, cells = (
        ("", "measured", *targets, "computed from"),
        [_cells(row, targets) for row in rows],
    )
    table = Table(title=f"{title}: {where['machine']}, {where['date']}")
    for column in columns:
        table.add_column(
            column,
            justify="right" if column in ("measured", "must reach") else "left",
            overflow="fold",
        )
    for line in cells:
        table.add_row(*line)
    Console(width=160).print(table)
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.with_suffix(".json").write_text(
        json.dumps(where | {"rows": [asdict(row) for row in rows]}, indent=1) + "\n"
    )
    lines = [
        f"# {title}",
        "",
        f"{where['machine']}, {where['date']}: `{command}`",
        "",
        *([note, ""] if note else []),
        f"![{in_words('Rows of generated images' if draw else 'Bar chart', title, rows)}]"
        f"({path.name}.png)",
        "",
        f"| {' | '.join(columns)} |",
        "|---" * len(columns) + "|",
        *(f"| {' | '.join(line)} |" for line in cells),
    ]
    path.with_suffix(".md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    draw = draw or partial(draw_bars, [row for row in rows if row.target] or rows)
    draw(f"{title} · {where['machine']} · {where['date']}", path.with_suffix(".png"))


def in_words(kind, title, rows):
    """Returns the text alternative of a picture: its kind, the range of its rows, and their goals.

    The range is that of the rows with the most common unit.
    """
    units, goals = [row.unit for row in rows], [row for row in rows if row.target]
    alike = [row for row in rows if row.unit == max(units, key=units.count)]
    low, high = (find(alike, key=lambda row: row.value) for find in (min, max))
    words = f"{kind}. {title}: from {low.measured} ({low.name}) to {high.measured} ({high.name})."
    reached = f" Goals reached: {sum(row.holds for row in goals)} of {len(goals)}."
    return words + reached * bool(goals)


def _cells(row, targets):
    numbers = "; ".join(f"{name}: {_short(value)}" for name, value in row.numbers.items())
    state = ("holds" if row.holds else "falls short") if row.target else ""
    return row.name, row.measured, *((row.target, state) if targets else ()), numbers


def _short(value):
    """Returns a number with three digits or more, and with commas if it is large."""
    if isinstance(value, str):
        return value
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


@styled
def draw_bars(rows, title, path):
    """Draws a bar for each row: how many times as good as its goal it is, at most four times.

    A line marks the goal. Without goals, the bars show the values of the rows.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 0.5 * len(rows) + 1.2), layout="constrained")
    axes, targets = figure.subplots(), all(row.target for row in rows)
    lengths = [min(_reached(row), 4) if targets else row.value for row in rows]
    axes.barh(
        [f"{row.name}  " for row in rows],
        lengths,
        color=[BLUE if row.holds else VERMILLION for row in rows],
    )
    for place, (row, length) in enumerate(zip(rows, lengths)):
        axes.text(
            length,
            place,
            f"  {row.measured}" + f" (goal {row.target})" * targets,
            va="center",
        )
    if targets:
        axes.axvline(1, color="black", linewidth=1)
        axes.set(xlabel="times as good as the goal (the line)")
    axes.set_xlim(right=(1.7 if targets else 1.2) * max(lengths))
    figure.suptitle(title)
    axes.invert_yaxis()
    figure.savefig(path)


def _reached(row):
    return row.value / row.at_least if row.at_most is None else row.at_most / max(row.value, 1e-9)
