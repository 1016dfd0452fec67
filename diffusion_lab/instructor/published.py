"""Where a copy of the course is published, for the links in its notebooks.

To publish your own copy, write its place on GitHub into `REPOSITORY`, and run `diffusion-lab
build`. The first cell of each notebook installs the version that the notebook belongs to, so that
version needs a tag, such as v0.1.0.
"""

from diffusion_lab import __version__

PLACEHOLDER = "OWNER/REPO"  # in the sources of the labs
REPOSITORY = "OWNER/REPO"


def filled_in(text: str) -> str:
    """Returns the source of a lab with the places and the version in its links."""
    owner, _, repository = REPOSITORY.partition("/")
    text = text.replace("OWNER.github.io/REPO", f"{owner}.github.io/{repository}")
    return text.replace(PLACEHOLDER, REPOSITORY).replace("vVERSION", f"v{__version__}")


def warning() -> str:
    """Returns what to do if the links in the notebooks lead nowhere, or ""."""
    if REPOSITORY != PLACEHOLDER:
        return ""
    return (
        f"The links to Colab in the notebooks do not work yet, because they say {PLACEHOLDER}: to"
        " set them, write the owner and name of your copy on GitHub into"
        " diffusion_lab/instructor/published.py, run diffusion-lab build, and release again."
    )
