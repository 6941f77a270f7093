# The control plane and the command line, without torch: plans, submits, watches, reports.
# Build from the root of the repository: docker build -f docker/operator.Dockerfile -t xstilts-operator .
ARG BASE_IMAGE=python:3.11-slim

FROM ${BASE_IMAGE} AS builder
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1
# without pip of its own, the environment holds nothing but what runs
RUN python -m venv --without-pip /opt/xstilts
# what changes rarely, below the package that changes often
COPY requirements/operator.txt /build/requirements/operator.txt
RUN python -m pip --python /opt/xstilts/bin/python install --require-hashes --requirement /build/requirements/operator.txt
COPY pyproject.toml README.md /build/
COPY src /build/src
RUN python -m pip --python /opt/xstilts/bin/python install --no-deps /build

FROM ${BASE_IMAGE}
LABEL org.opencontainers.image.title="xstilts-operator" \
      org.opencontainers.image.description="Control plane and command line of xstilts" \
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
    MPLCONFIGDIR=/tmp/cache/matplotlib \
    GIT_PYTHON_REFRESH=quiet
WORKDIR /tmp
# numeric, so that runAsNonRoot can be checked
USER 10001:10001
STOPSIGNAL SIGTERM
CMD ["xstilts", "--help"]
