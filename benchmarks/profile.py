"""Where the time of a training step goes: `python -m benchmarks.profile`.

It explains the share of the convolution peak. On processors from Intel or AMD, TensorFlow uses
oneDNN for its convolutions, and oneDNN reports the time of each. They run in sequence here, so that
their times add up.
"""

import argparse
import os
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

from benchmarks.report import Row, publish

STEPS = 4
KINDS = {
    "forward_training": "convolutions, forward",
    "backward_data": "convolutions, gradients with respect to inputs",
    "backward_weights": "convolutions, gradients with respect to weights",
}
TRAINING = f"""
import time
from benchmarks.training import network_of_the_rows, ours, some_images, train
model = ours(lambda: network_of_the_rows({{quick}}))
images = some_images({STEPS} * {{batch}}, {{size}})
train(model, images, {{batch}})
print("begin", flush=True)
begin = time.perf_counter()
train(model, images, {{batch}})
print("end", time.perf_counter() - begin, flush=True)
"""


def profile(quick=False):
    """Returns rows of milliseconds per step of float32 training.

    The network is the residual U-Net that the speed benchmark trains.
    """
    code = TRAINING.format(quick=quick, batch=8 if quick else 32, size=16 if quick else 64)
    environment = os.environ | {
        "ONEDNN_VERBOSE": "1",
        "TF_NUM_INTEROP_THREADS": "1",
        "KERAS_BACKEND": "tensorflow",
    }
    result = subprocess.run(
        [sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, text=True, check=True
    )
    lines, _, end = result.stdout.partition("begin\n")[2].partition("end ")
    seconds = read_times(lines.splitlines())
    if not seconds:
        raise SystemExit(
            "oneDNN reports no convolutions here: this profile needs TensorFlow on a processor from"
            " Intel or AMD."
        )
    whole = float(end.split()[0])
    seconds["all the rest: normalisation, optimizer, data, Python"] = whole - sum(seconds.values())
    return [
        Row(name, 1000 * value / STEPS, unit="ms", numbers={"share in %": 100 * value / whole})
        for name, value in seconds.items()
    ]


def read_times(lines):
    """Returns {kind of work: seconds} from oneDNN's lines under ONEDNN_VERBOSE=1."""
    seconds = defaultdict(float)
    for line in lines:
        fields = line.split(",")
        # fields: ... exec,cpu,<primitive>,<implementation>,<direction>,...,<milliseconds>
        if "exec" in fields:
            primitive, _, direction = fields[fields.index("exec") + 2 :][:3]
            name = (
                KINDS[direction]
                if primitive == "convolution"
                else "oneDNN's activations, pooling, reordering"
            )
            seconds[name] += float(fields[-1]) / 1000
    return dict(sorted(seconds.items(), key=lambda item: -item[1]))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="tiny sizes: does it run at all?")
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("out/bench/profile"),
        help="of the table: .json, .md and .png",
    )
    arguments = parser.parse_args()
    publish(
        "Where a training step's time goes",
        "python -m benchmarks.profile",
        profile(arguments.quick),
        arguments.out,
        note="A batch of 32 images, 64 × 64, on the residual U-Net in float32.",
    )


if __name__ == "__main__":
    main()
