# The control plane and the command line, without torch: plans, submits, watches, reports.
# Build from the root of the repository: docker build -f docker/operator.Dockerfile -t xstilts-operator .
# By digest, of the index for all platforms: docs/guides/install.md says how to move on to a later one.
ARG BASE_IMAGE=python:3.11.16-slim@sha256:9c900dea9e8fb7e16277c179b555cc72d29a352dbc33cff48ad5a0412fd5bfc7

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
COPY docker/licences.py /build/docker/licences.py
RUN mkdir -p /opt/xstilts/share/licences \
    && /opt/xstilts/bin/python /build/docker/licences.py > /opt/xstilts/share/licences/THIRD_PARTY.txt

FROM ${BASE_IMAGE}
LABEL org.opencontainers.image.title="xstilts-operator" \
      org.opencontainers.image.description="Control plane and command line of xstilts" \
      org.opencontainers.image.licenses="(Apache-2.0 OR BSD-2-Clause) AND (Apache-2.0 OR BSD-3-Clause) AND 0BSD AND Apache-2.0 AND BSD-2-Clause AND BSD-3-Clause AND CC0-1.0 AND ISC AND MIT AND MIT-0 AND MIT-CMU AND MPL-2.0 AND PSF-2.0 AND Zlib" \
      dev.xstilts.third-party-licences="/opt/xstilts/share/licences/THIRD_PARTY.txt"
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
