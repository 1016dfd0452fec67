"""How good the recipe is beside the textbook's: `make bench-quality`, or `python -m benchmarks.quality`.

Both train on the same 50,000 procedural flowers, 32 × 32, with networks of one size, in turn, with several seeds. A run
that has been made is not made again, so the same command goes on where it was stopped.
"""

import argparse
import statistics
from pathlib import Path

from benchmarks.recipes import result_of
from benchmarks.report import Row, publish


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=50_000)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("out/bench/quality"))
    arguments = parser.parse_args()
    pairs = []
    for seed in range(arguments.seeds):  # in turn, because the machine drifts
        textbook = result_of("textbook", seed, arguments.images, arguments.images, arguments.out)
        ours = result_of("ours", seed, arguments.images, max(arguments.images // 10, 1), arguments.out)
        pairs.append((textbook, ours))
        print(f"seed {seed}: KID {textbook['kid']:.2f} in {textbook['seconds']:.0f} s, "
              f"ours {ours['kid']:.2f} in {ours['seconds']:.0f} s", flush=True)
    publish("Quality beside the textbook recipe", "make bench-quality", rows(pairs), arguments.out / "quality")


def rows(pairs):
    """The two rows, of (textbook's result, ours) of each seed."""
    figures = {f"seed {seed}": f"{textbook['kid']:.2f} and {ours['kid']:.2f}" for seed, (textbook, ours) in enumerate(pairs)}
    figures["parameters"] = " and ".join(str(result["parameters"]) for result in pairs[0])
    reached = [_seconds_to(ours["points"], textbook["kid"]) for textbook, ours in pairs]
    times = {f"seed {seed}": f"{textbook['seconds']:.0f} s and {seconds:.0f} s"
             for seed, ((textbook, _), seconds) in enumerate(zip(pairs, reached))}
    return [
        Row("KID at equal images, ours over textbook", statistics.median(ours["kid"] / textbook["kid"] for textbook, ours in pairs),
            at_most=0.5, figures=figures),
        Row("time to the textbook's KID", statistics.median(seconds / textbook["seconds"] for (textbook, _), seconds in zip(pairs, reached)),
            at_most=0.5, figures=times),
    ]


def _seconds_to(points, kid):
    """The training seconds after which the KID was first as low; infinitely many if it never was."""
    return next((point["seconds"] for point in points if point["kid"] <= kid), float("inf"))


if __name__ == "__main__":
    main()
