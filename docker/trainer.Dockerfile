# The image of every stage: components, Jobs and a person's own machine all run `python -m xstilts.stages` in it.
# Build from the root of the repository: docker build -f docker/trainer.Dockerfile -t xstilts-trainer .
ARG BASE_IMAGE=python:3.11-slim

FROM ${BASE_IMAGE} AS builder
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1
# without pip of its own, the environment holds nothing but what runs
RUN python -m venv --without-pip /opt/xstilts
# gigabytes that change rarely, below the package that changes often
COPY requirements/trainer.txt /build/requirements/trainer.txt
RUN python -m pip --python /opt/xstilts/bin/python install --require-hashes --requirement /build/requirements/trainer.txt
COPY pyproject.toml README.md /build/
COPY src /build/src
RUN python -m pip --python /opt/xstilts/bin/python install --no-deps /build

FROM ${BASE_IMAGE}
LABEL org.opencontainers.image.title="xstilts-trainer" \
      org.opencontainers.image.description="Stages of xstilts: data scaling, training, evaluation" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=builder /opt/xstilts /opt/xstilts
# The root file system may be read-only: all that is written goes to /tmp. The user has no entry in /etc/passwd, so
# LOGNAME answers libraries that ask for a name.
ENV PATH=/opt/xstilts/bin:$PATH \
    HOME=/tmp \
    LOGNAME=xstilts \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    XDG_CACHE_HOME=/tmp/cache \
    HF_HOME=/tmp/cache/huggingface \
    MPLCONFIGDIR=/tmp/cache/matplotlib \
    TORCHINDUCTOR_CACHE_DIR=/tmp/cache/torchinductor \
    TRITON_CACHE_DIR=/tmp/cache/triton \
    GIT_PYTHON_REFRESH=quiet
WORKDIR /tmp
# numeric, so that runAsNonRoot can be checked
USER 10001:10001
# a stage saves its progress and ends as preempted
STOPSIGNAL SIGTERM
CMD ["python", "-m", "xstilts.stages", "--help"]
