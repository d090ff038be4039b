# Serves all worlds that ship, on a CPU:
#   docker build --tag worldsim .
#   docker run --rm --hostname localhost --publish 127.0.0.1:8000:8000 worldsim
FROM python:3.12-slim

# Index of PyTorch's build for CPUs, which is gigabytes smaller; pytorch.org/get-started names it.
ARG TORCH_INDEX=

ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONUNBUFFERED=1
WORKDIR /opt/worldsim

COPY constraints.txt ./
RUN pip install --constraint constraints.txt ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} torch
COPY pyproject.toml README.md LICENSE ./
COPY worldsim worldsim
COPY envs envs
COPY kernels kernels
RUN pip install --constraint constraints.txt '.[serve]' && useradd --create-home player

# Graphs of OpenVINO are kept in the home folder; mount a volume there to keep them for the next container.
USER player
WORKDIR /home/player
EXPOSE 8000
HEALTHCHECK --start-period=60s CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://localhost:8000/healthz', timeout=5)"]
CMD ["worldsim", "serve", "--host", "0.0.0.0", "--port", "8000"]
