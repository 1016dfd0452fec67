# The course in a container, for a CPU. README.md shows how to build and run it.

# What the course needs, without the course: Codespaces and Dev Containers use this stage.
FROM python:3.12-slim AS environment
RUN apt-get update \
 && apt-get install --yes --no-install-recommends bubblewrap git make \
 && rm -rf /var/lib/apt/lists/*
# In the home folder, because Dev Containers may change the user's id, and then hand over only that folder.
ENV VENV=/home/student/venv SHELL=/bin/bash
# MAKEFLAGS makes `make` use this environment. Otherwise it would install another one in .venv.
ENV PATH=$VENV/bin:$PATH MAKEFLAGS=VENV=$VENV
# JupyterLab's terminals are login shells, which reset PATH.
RUN useradd --create-home --shell $SHELL student \
 && echo "PATH=$VENV/bin:\$PATH" > /etc/profile.d/venv.sh
USER student
RUN mkdir /home/student/diffusion-lab \
 && python -m venv $VENV
WORKDIR /home/student/diffusion-lab
COPY --chown=student pyproject.toml constraints.txt README.md LICENSE ./
# An empty package has the same dependencies. So a change in the course does not install them again.
RUN mkdir diffusion_lab \
 && touch diffusion_lab/__init__.py \
 && pip install --no-cache-dir --constraint constraints.txt ".[lab,instructor]" \
 && rm -r build diffusion_lab diffusion_lab.egg-info

FROM environment
COPY --chown=student . .
RUN pip install --no-cache-dir --no-deps --editable . \
 && touch $VENV/installed
EXPOSE 8888
CMD ["jupyter", "lab", "--ip=0.0.0.0", "--no-browser", "--LabApp.default_url=/lab/tree/notebooks"]
