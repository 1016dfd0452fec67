"""Our speed compared with the textbook way: `python -m benchmarks.speed [--only kid] [--quick]`.

`make bench` runs it. Our code and the textbook's run alternately, in one process for each group of
rows. The printed values are medians.
"""

import argparse
import json
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

from benchmarks.report import Row, publish

NOTE = """\
The rows on training are for the residual U-Net, with images of 64 × 64 pixels and batches of 32.
(The other pages train on 32 × 32 pixels, a quarter of that.) The rows on DDPM sampling are for 16
images of 32 × 32 pixels. The first sample is 16 flowers from the shipped weights, in ten steps of
DDIM. A ratio is the median over rounds. The last column has each side's own median, so their
quotient can differ from the ratio."""
ROWS = ("training", "ddpm_sampling", "kid", "energy_based", "first_sample", "growth")


def measure(name, quick):
    """Returns the rows of one group, measured in a fresh process.

    So no memory, threads or precision settings remain from another group.
    """
    command = [sys.executable, "-m", "benchmarks.speed", "--row", name, *["--quick"] * quick]
    result = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return [Row(**row) for row in json.loads(result.stdout.splitlines()[-1])]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=ROWS, nargs="+", default=ROWS)
    parser.add_argument("--quick", action="store_true", help="tiny sizes: does it run at all?")
    parser.add_argument(
        "--out", type=Path, default=Path("out/bench/speed"), help="of the table: .json and .png"
    )
    parser.add_argument("--row", choices=ROWS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.row:
        from benchmarks import rows

        return print(json.dumps([asdict(row) for row in rows.ROWS[arguments.row](arguments.quick)]))
    table = []
    for name in arguments.only:
        begin = time.monotonic()
        print(f"{name} ...", end=" ", flush=True)
        table += measure(name, arguments.quick)
        print(f"{time.monotonic() - begin:.0f} s", flush=True)
    publish("Speed compared with the textbook way", "make bench", table, arguments.out, note=NOTE)


if __name__ == "__main__":
    main()
