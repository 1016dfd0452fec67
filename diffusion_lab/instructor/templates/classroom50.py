"""Feedback on lab LAB for Classroom 50, in the student's own repository.

The student can change everything there, so this is feedback only: grade with `diffusion-lab grade`.
"""

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
PIP = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]

subprocess.run(
    [*PIP, "--constraint", HERE / "constraints.txt", HERE / "diffusion-lab.zip"], check=True
)
subprocess.run([sys.executable, "-m", "diffusion_lab.submission.classroom50", "LAB"], check=True)
