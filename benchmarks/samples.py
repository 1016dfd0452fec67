"""What the shipped weights generate, 64 images each: `python -m benchmarks.samples`."""

import argparse
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from benchmarks.report import machine
from diffusion_lab.commands.evaluate import autoguided, begin_at
from diffusion_lab.data import load_dataset
from diffusion_lab.metrics import encode, flower_features, kid_with_standard_error
from diffusion_lab.models.generating import generate_in_batches
from diffusion_lab.models.io import load_model
from diffusion_lab.plots import image_grid
from diffusion_lab.samplers import SAMPLERS

SHOWN, COLUMNS, DATA = 64, 16, "procedural_flowers"
NOTE = """\
The first 64 images of seed 0, none left out. KID compares {count} of them with as many real flowers
that no model was trained on (lower is better), with the package's flower features. The scale of KID
depends on the image size, so `flowers64` cannot be compared with the others. The spread of the
colours is the standard deviation of the images' mean colours, divided by that of the real flowers.
`diffusion-lab sample` with the options below a heading generates the same images."""


@dataclass(frozen=True)
class Samples:
    """Images of one model. `network_evaluations` are those for each image."""

    title: str
    weights: str
    steps: int
    sampler: str = "ddim"
    guide: str | None = None
    guidance: float | None = None
    spacing: float = 1.0
    min_signal_rate: float | None = None

    @property
    def options(self):
        extra = f" --spacing {self.spacing:g}" if self.spacing != 1 else ""
        if self.min_signal_rate is not None:
            extra += f" --min-signal-rate {self.min_signal_rate:g}"
        extra += f" --guide {self.guide}" if self.guide else ""
        extra += f" --guidance {self.guidance:g}" if self.guidance else ""
        return f"--weights {self.weights} --sampler {self.sampler} --steps {self.steps}{extra}"

    @property
    def name(self):
        extra = "-spaced" * (self.spacing != 1) + "-guided" * bool(self.guide)
        return f"{Path(self.weights).name.split('.')[0]}-{self.sampler}-{self.steps}{extra}"

    def generate(self, count):
        model, _ = load_model(self.weights)
        begin_at(model, self.min_signal_rate)
        sampler = autoguided(SAMPLERS[self.sampler], self.guide, self.guidance)
        return generate_in_batches(model, count, self.steps, sampler=sampler, spacing=self.spacing)


ALL = [
    Samples("The model of the course", "flowers32", 10),
    Samples("The same, with a better sampler", "flowers32", 10, "adams_bashforth"),
    Samples(
        "From purer noise, with shorter steps at the start",
        "flowers32",
        10,
        "adams_bashforth",
        spacing=2.0,  # as in lab 08
        min_signal_rate=0.005,
    ),
    Samples(
        "With autoguidance",
        "flowers32",
        10,
        "adams_bashforth",
        guide="flowers32_guide",
        guidance=1.5,
        spacing=1.5,
        min_signal_rate=0.01,
    ),
    Samples("In one step", "flowers32_fewstep", 1),
    Samples("In two steps", "flowers32_fewstep", 2),
    Samples(
        "At 64 × 64 pixels, from still purer noise",
        "flowers64",
        10,
        "adams_bashforth",
        spacing=3.0,
        min_signal_rate=0.001,
    ),
    Samples("With a colour as its input (here none is given)", "flowers32_conditional", 20),
    Samples("The weaker model that guides", "flowers32_guide", 10),
    Samples("A network that predicts noise", "flowers32_noise", 20),
    Samples("As in the DDPM paper", "flowers32_ddpm", 50, "ddpm"),
    Samples("Ten convolutions in a row", "flowers32_plain_cnn", 20),
]


def spread_of_colours(images):
    """Returns the standard deviation of the images' mean colours, averaged over the channels."""
    return images.mean(axis=(1, 2)).std(axis=0).mean()


def measure(samples, count, folder):
    """Writes the picture, and returns the lines of the page on these samples."""
    images = samples.generate(count)
    real = load_dataset(DATA, "validation", images.shape[1], count=count).images
    extractor = flower_features()
    kid = kid_with_standard_error(encode(extractor, real), encode(extractor, images))
    scale = 64 // images.shape[1]
    picture = Image.fromarray(image_grid(images[:SHOWN], columns=COLUMNS, scale=scale))
    picture.save(folder / f"{samples.name}.webp", quality=85, method=6)
    share = spread_of_colours(images) / spread_of_colours(real / 255)
    print(
        f"{samples.title}: KID {kid.value:.3f} ± {kid.standard_error:.3f}, colours {share:.2f}",
        flush=True,
    )
    return [
        f"## {samples.title}: KID {kid.value:.2f} ± {kid.standard_error:.2f}",
        "",
        f"`{samples.options}` (spread of the colours: {share:.2f})",
        "",
        f"![{SHOWN} images of {samples.weights}](samples/{samples.name}.webp)",
        "",
    ]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=512, help="images for KID")
    parser.add_argument(
        "--demo",
        help="weights that `taskset -c 0 make demo` wrote, such as out/demo/model.weights.h5",
    )
    parser.add_argument("--out", type=Path, default=Path("out/bench"))
    arguments = parser.parse_args()
    folder, about = arguments.out / "samples", machine()
    folder.mkdir(parents=True, exist_ok=True)
    shown = list(ALL)
    if arguments.demo:
        title = "After four minutes of `make demo` on one core"
        shown.insert(0, Samples(title, arguments.demo, 10, "adams_bashforth"))
    lines = [
        "# Samples",
        "",
        f"{about['machine']}, {about['date']}: `python -m benchmarks.samples --count"
        f" {arguments.count}{f' --demo {arguments.demo}' if arguments.demo else ''}`",
    ]
    lines += ["", NOTE.format(count=arguments.count), ""]
    for samples in shown:
        lines += measure(samples, arguments.count, folder)
    (arguments.out / "samples.md").write_text("\n".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
