# The course in a container, for a CPU:
#   docker build --tag diffusion-lab .
#   docker run --rm -p 8888:8888 diffusion-lab     # then open the address that it prints
# To keep your answers, add: --volume diffusion-lab:/home/student/diffusion-lab/notebooks

# What the course needs, without the course: Codespaces and Dev Containers use this stage.
FROM python:3.12-slim AS environment
RUN apt-get update \
 && apt-get install --yes --no-install-recommends bubblewrap git make \
 && rm -rf /var/lib/apt/lists/*
RUN useradd --create-home student \
 && install --directory --owner student /opt/venv /home/student/diffusion-lab
USER student
ENV PATH=/opt/venv/bin:$PATH
WORKDIR /home/student/diffusion-lab
RUN python -m venv /opt/venv
COPY --chown=student pyproject.toml constraints.txt README.md LICENSE ./
# An empty package has the same dependencies. So a change in the course does not install them again.
RUN mkdir diffusion_lab \
 && touch diffusion_lab/__init__.py \
 && pip install --no-cache-dir --constraint constraints.txt ".[lab,instructor]" \
 && rm -r build diffusion_lab

FROM environment
COPY --chown=student . .
RUN pip install --no-cache-dir --no-deps --editable .
EXPOSE 8888
CMD ["jupyter", "lab", "--ip=0.0.0.0", "--no-browser", "--LabApp.default_url=/lab/tree/notebooks"]
