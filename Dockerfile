# planewise on a CPU:
#   docker build -t planewise .
#   docker run --rm -u "$(id -u):$(id -g)" -v "$PWD":/data planewise mito predict --trained_model MitoNet_v1 --input ...
# For NVIDIA GPUs: --build-arg TORCH= the index that pytorch.org names for your CUDA, and docker run --gpus all
FROM python:3.12-slim

ARG TORCH=https://download.pytorch.org/whl/cpu

WORKDIR /planewise
COPY constraints.txt pyproject.toml README.md LICENSE ./
RUN pip install --no-cache-dir --index-url "$TORCH" "$(grep '^torch==' constraints.txt)"
COPY src src
RUN pip install --no-cache-dir -c constraints.txt '.[cluster,n5]'

# Downloaded weights and compiled kernels, wherever the user that runs it may write
ENV HOME=/tmp NUMBA_CACHE_DIR=/tmp/numba MPLCONFIGDIR=/tmp/matplotlib
WORKDIR /data
ENTRYPOINT ["planewise"]
