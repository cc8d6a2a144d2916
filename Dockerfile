# planewise on a CPU:
#   docker build -t planewise .
#   docker run --rm -u "$(id -u):$(id -g)" -v "$PWD":/data -v "$HOME/.cache":/tmp/.cache \
#       planewise mito predict --trained_model MitoNet_v1 --input ...
# Without the second -v, downloaded weights are lost with the container. $HOME/.cache must exist.
# For NVIDIA GPUs: --build-arg TORCH= the index that pytorch.org names for your CUDA, and docker run --gpus all
FROM debian:bookworm-slim

ARG TORCH=https://download.pytorch.org/whl/cpu

RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates python3-venv \
    && rm -rf /var/lib/apt/lists/* \
    && python3 -m venv /opt/planewise
ENV PATH=/opt/planewise/bin:$PATH

WORKDIR /planewise
COPY constraints.txt pyproject.toml README.md LICENSE ./
RUN pip install --no-cache-dir --index-url "$TORCH" "$(grep '^torch==' constraints.txt)"
COPY src src
RUN pip install --no-cache-dir -c constraints.txt '.[cluster,dicom,n5]'

# Any user may write here: downloaded weights (/tmp/.cache) and compiled kernels
ENV HOME=/tmp NUMBA_CACHE_DIR=/tmp/numba MPLCONFIGDIR=/tmp/matplotlib
WORKDIR /data
ENTRYPOINT ["planewise"]
