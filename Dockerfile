# The bridge as an image: non-root, read-only root, no capabilities, no compiler, no pip of its own.

FROM python:3.11.14-slim-bookworm AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1
WORKDIR /src
# Dependencies first: this layer changes with the lock file only.
COPY requirements/runtime.txt requirements/runtime.txt
RUN python -m venv --without-pip /opt/bridge \
    && pip --python /opt/bridge/bin/python install --no-compile --only-binary :all: \
        --require-hashes -r requirements/runtime.txt
COPY . .
# Bytecode is made here, and never checked against its source: nothing is written at run time.
RUN pip wheel --no-deps --wheel-dir /wheels . \
    && pip --python /opt/bridge/bin/python install --no-compile --no-deps --no-index /wheels/*.whl \
    && /opt/bridge/bin/python -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/bridge/lib

FROM python:3.11.14-slim-bookworm
COPY --from=build /opt/bridge /opt/bridge
ENV PATH=/opt/bridge/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    BRIDGE_LISTEN=0.0.0.0:8080
# The port is for others, so BRIDGE_AUTH must be said: forward, jwt or none.
# Numeric, so that runAsNonRoot can be checked without a user database.
USER 10001:10001
EXPOSE 8080
STOPSIGNAL SIGTERM
# Alive, not ready: a restart cures no tier. The port is the one BRIDGE_LISTEN names.
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s CMD ["python", "-c", "import os, urllib.request as u; u.build_opener(u.ProxyHandler({})).open('http://127.0.0.1:%s/healthz' % os.environ['BRIDGE_LISTEN'].rpartition(':')[2], timeout=2)"]
ENTRYPOINT ["livequery-bridge"]
CMD ["serve"]
