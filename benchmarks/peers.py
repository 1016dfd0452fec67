"""Other diffusion libraries on the same flowers, for the same CPU seconds: `make bench-peers`.

Each trains with one thread, on the same 10,000 procedural flowers, 32 × 32, with a network of about
the size of ours: with its documented learning rate, and with three others. The first seed decides
which of the three is best, so the other seeds need only two rates. Two runs take place at a time.
Finished runs are not repeated.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.recipes import draw_samples
from benchmarks.report import Row, publish

OURS = "Diffusion Lab"
PEERS = ("denoising-diffusion-pytorch", "diffusers", "smalldiffusion")
DOCUMENTED, RATES = "documented", (3e-4, 1e-3, 3e-3)
IMAGE_SIZE, TRAINING_IMAGES, VALIDATION_IMAGES, BATCH_SIZE, GENERATE = 32, 10_000, 256, 16, 64
STEPS = (10, 50)
NOTE = """\
KID of 256 images after equal CPU seconds of training, theirs over ours: the smaller of the two
ratios, with 10 and with 50 network evaluations; values are medians over the seeds. Each trains with
one thread on the same 10,000 flowers, in batches of 16, with a network of about the same size, and
samples as its documentation says: ours and the first two with DDIM, smalldiffusion with its own
sampler. The best rate is the one among 3e-4, 1e-3 and 3e-3 that has the lowest KID at 10
evaluations with the first seed."""


class Budget:
    """CPU seconds for training. The first step does not count, because it is mostly compilation."""

    def __init__(self, seconds):
        self.seconds, self.begin = seconds, None

    def count_step(self):
        if self.begin is None:
            self.begin = time.process_time()

    def share_used(self):
        if self.begin is None:
            return 0.0
        return (time.process_time() - self.begin) / self.seconds


def train_ours(budget, seed, folder):
    """Trains with the defaults of `diffusion-lab train`.

    Returns:
        sample(count, steps), the number of training images, the number of parameters.
    """
    import keras

    from diffusion_lab.models.config import describe_model
    from diffusion_lab.training import Trainer, TrainingConfig

    model = describe_model("unet", IMAGE_SIZE, (32, 64, 96))
    config = TrainingConfig(model, count=TRAINING_IMAGES, epochs=1000, seed=seed)
    trainer = Trainer(config, folder)
    count = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: budget.count_step()
    )
    model = trainer.fit(budget.share_used, callbacks=[count])
    images, seeds = trainer.images_done(), iter(range(1000))

    def sample(count, steps):
        return np.asarray(model.generate(count, steps, seed=next(seeds)))

    return sample, images, model.network.count_params()


def train_peer(name, rate, budget, seed):
    """Trains another library's model; returns what `train_ours` does."""
    import torch

    from benchmarks import torch_peers
    from diffusion_lab.data import load_dataset

    torch.set_num_threads(1)
    torch.manual_seed(seed)
    kind = torch_peers.PEERS[name]
    peer = kind(IMAGE_SIZE, kind.rate if rate == DOCUMENTED else float(rate))
    dataset = load_dataset(
        "procedural_flowers", "train", IMAGE_SIZE, BATCH_SIZE, count=TRAINING_IMAGES, seed=seed
    )
    images = torch_peers.train(peer, dataset, budget)
    parameters = sum(parameter.numel() for parameter in peer.network.parameters())
    return partial(torch_peers.sample, peer), images, parameters


def run(name, rate, seed, seconds, out):
    """Trains one contestant for this many CPU seconds, and writes result.json and samples."""
    from diffusion_lab.data import load_dataset
    from diffusion_lab.metrics import encode, flower_features, kernel_inception_distance
    from diffusion_lab.storage import write_atomically

    folder, budget = folder_of(name, rate, seed, out), Budget(seconds)
    folder.mkdir(parents=True, exist_ok=True)
    sample, images, parameters = (
        train_ours(budget, seed, folder) if name == OURS else train_peer(name, rate, budget, seed)
    )
    extractor = flower_features()
    validation = load_dataset(
        "procedural_flowers", "validation", IMAGE_SIZE, count=VALIDATION_IMAGES, seed=seed
    )
    real_features = encode(extractor, validation.images)
    result = {"parameters": parameters, "images a second": images / seconds}
    for steps in STEPS:
        begin = time.process_time()
        generated = np.concatenate(
            [sample(GENERATE, steps) for _ in range(VALIDATION_IMAGES // GENERATE)]
        )
        spent = time.process_time() - begin
        result[f"s per sample, {steps} NFE"] = spent / VALIDATION_IMAGES
        result[f"KID, {steps} NFE"] = float(
            kernel_inception_distance(real_features, encode(extractor, generated))
        )
        np.save(folder / f"samples-{steps}.npy", generated[:16])
    write_atomically(folder / "result.json", json.dumps(result, indent=1).encode())


def folder_of(name, rate, seed, out):
    return out / f"{name.replace(' ', '-')}-{rate}-{seed}"


def result_of(name, rate, seed, seconds, out):
    """Returns the result of `run` in a process with one thread, or an earlier result."""
    result = folder_of(name, rate, seed, out) / "result.json"
    if not result.exists():
        flags = ("--seconds", str(seconds), "--out", str(out))
        one_thread = {"TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1"}
        subprocess.run(
            [sys.executable, "-m", __spec__.name, "--run", name, str(rate), str(seed), *flags],
            check=True,
            env=os.environ
            | one_thread
            | {"KERAS_BACKEND": "tensorflow" if name == OURS else "torch", "TQDM_DISABLE": "1"},
        )
    return json.loads(result.read_text())


def rows(results):
    """Returns a row for ours, and two for each peer, from {(name, rate): results of its seeds}."""
    ours = results[OURS, DOCUMENTED]

    def row(name, label, rate, at_least):
        ratios = [
            min(their[f"KID, {steps} NFE"] / mine[f"KID, {steps} NFE"] for steps in STEPS)
            for their, mine in zip(results[name, rate], ours)
        ]
        numbers = {} if rate == DOCUMENTED else {"rate": rate}
        numbers |= {f"seed {seed}": ratio for seed, ratio in enumerate(ratios)}
        return Row(
            f"{name}, {label}",
            statistics.median(ratios),
            at_least=at_least,
            numbers=numbers | medians(results[name, rate]),
        )

    return [
        Row(OURS, medians(ours)["KID, 10 NFE"], unit="KID, 10 NFE", numbers=medians(ours)),
        *(row(name, "documented rate", DOCUMENTED, 3) for name in PEERS),
        *(row(name, "best rate", best_rate(name, results), 2) for name in PEERS),
    ]


def medians(results):
    """Returns {number: its median over the results of all seeds}."""
    return {name: statistics.median(result[name] for result in results) for name in results[0]}


def best_rate(name, results):
    return min(RATES, key=lambda rate: results[name, rate][0]["KID, 10 NFE"])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=200.0, help="CPU seconds for each")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("out/bench/peers"))
    parser.add_argument("--run", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    seconds, out = arguments.seconds, arguments.out
    if arguments.run:
        name, rate, seed = arguments.run
        return run(name, rate, int(seed), seconds, out)

    def measure(job):
        contestant, seed = job
        result = result_of(*contestant, seed, seconds, out)
        numbers = (f"{name} {value:.3g}" for name, value in result.items())
        print(*contestant, f"seed {seed}", *numbers, flush=True)
        return result

    def measure_all(contestants, seeds):
        jobs = [(contestant, seed) for seed in seeds for contestant in contestants]
        with ThreadPoolExecutor(2) as pool:
            for (contestant, _), result in zip(jobs, pool.map(measure, jobs)):
                results.setdefault(contestant, []).append(result)

    results, shown = {}, [(OURS, DOCUMENTED)]
    measure_all([*shown, *((name, rate) for name in PEERS for rate in (DOCUMENTED, *RATES))], [0])
    for name in PEERS:
        shown += [(name, DOCUMENTED), (name, best_rate(name, results))]
    measure_all(shown, range(1, arguments.seeds))
    samples = {
        f"{name}, {rate}: {results[name, rate][0][f'KID, {steps} NFE']:.2f} ({steps} NFE)": np.load(
            folder_of(name, rate, 0, out) / f"samples-{steps}.npy"
        )
        for name, rate in shown
        for steps in STEPS
    }
    publish(
        f"Other libraries after {seconds:g} CPU seconds",
        "make bench-peers",
        rows(results),
        out / "peers",
        partial(draw_samples, samples),
        NOTE,
    )


if __name__ == "__main__":
    main()
