#!/usr/bin/env bash
# Gradescope runs this once, as root, to build the container.
set -euo pipefail
cd /autograder/source
apt-get update -qq
apt-get install -qq -y --no-install-recommends python3 python3-venv bubblewrap >/dev/null
python3 -m venv /opt/diffusion-lab
/opt/diffusion-lab/bin/pip install --quiet --disable-pip-version-check \
  --constraint constraints.txt --editable '.[instructor]'
# The answers are here: only root, which grades, may read them.
chmod 700 /autograder/source
