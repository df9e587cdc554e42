# The bridge as an image: non-root, read-only root, no capabilities, no compiler, no pip of its own.
# It has the compiled build, made for this Python and platform. Where that cannot be made, the image
# is not: `--build-arg BUILD=pure` asks for the pure one.

# The full image has a C compiler; nothing of it stays but what is in /opt/bridge.
FROM python:3.11.14-bookworm AS build
ARG BUILD=compiled
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_ROOT_USER_ACTION=ignore
WORKDIR /src
# Dependencies first: these layers change with the lock files only.
COPY requirements/runtime.txt requirements/compile.txt requirements/
RUN python -m venv --without-pip /opt/bridge \
    && pip --python /opt/bridge/bin/python install --no-compile --only-binary :all: \
        --require-hashes -r requirements/runtime.txt \
    && pip install --only-binary :all: --require-hashes -r requirements/compile.txt
COPY . .
RUN if [ "$BUILD" = compiled ]; then python tools/compiled/build.py; \
    else pip wheel --no-deps --wheel-dir dist .; fi
# Bytecode is made here, and never checked against its source: nothing is written at run time. What
# runs says which build it is, and that is the one asked for.
RUN pip --python /opt/bridge/bin/python install --no-compile --no-deps --no-index dist/*.whl \
    && /opt/bridge/bin/python -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/bridge/lib \
    && said=$(/opt/bridge/bin/livequery-bridge --version) \
    && echo "$said" \
    && case "$said" in *"($BUILD)") ;; *) exit 1 ;; esac

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
