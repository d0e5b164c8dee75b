# The web app's image; docs/images.md explains it. The harness builds the same one without Docker (harness/variants.py), and
# tests hold the two against each other: configuration, files, rights. Variants differ in build arguments only, so they share
# every layer with files in it.
ARG PYTHON_IMAGE=python:3.11-slim

# Two trees are made here, each to be copied to / as it is, its folders included, with one time, owner and set of rights: so two
# builds of one source give the same layers, with the classic builder, too.
FROM ${PYTHON_IMAGE} AS build
# Blank: pip's own default.
ARG PIP_INDEX_URL=
COPY webapp/requirements.lock /tmp/requirements.lock
RUN python3 -m pip install --no-cache-dir --no-compile --disable-pip-version-check --require-hashes --only-binary :all: \
    --target /dependencies/app/site-packages --requirement /tmp/requirements.lock \
 # Scripts, which `python3 -m` does not need, tests, and what the installer wrote about this machine.
 && rm -rf /dependencies/app/site-packages/bin \
 && find /dependencies -type d -name tests -prune -exec rm -r {} + \
 && find /dependencies -path '*.dist-info/*' \
    '(' -name RECORD -o -name INSTALLER -o -name REQUESTED -o -name direct_url.json ')' -delete
COPY webapp /source/app/webapp
ARG SOURCE_DATE_EPOCH=0
# Compiled here, because the running container can neither write nor is meant to.
RUN rm /source/app/webapp/requirements.lock && find /source -type d -empty -delete \
 && for tree in /dependencies /source; do \
      PYTHONHASHSEED=0 python3 -m compileall -q --invalidation-mode unchecked-hash -s "$tree" "$tree" || exit 1; \
    done \
 && find /dependencies /source -type d -exec chmod 0755 {} + \
 && find /dependencies /source -type f -exec chmod 0644 {} + \
 && find /dependencies /source -exec touch --no-dereference --date "@${SOURCE_DATE_EPOCH}" {} +

FROM ${PYTHON_IMAGE}
COPY --from=build /dependencies /
COPY --from=build /source /
WORKDIR /app
USER 65532:65532
EXPOSE 8080/tcp
ENV PYTHONPATH=/app/site-packages \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
ENTRYPOINT ["python3", "-m", "gunicorn", "-c", "webapp/gunicorn.conf.py", "webapp.app:create_app()"]

# Last, so that another version costs no other layer. A blank FAULT_* means its default.
ARG PYTHON_IMAGE
ARG VERSION=dev
ARG REVISION=unknown
ARG FAULT_ERROR_RATE=
ARG FAULT_STATUS_CODE=
ARG FAULT_LATENCY_MS=
ARG FAULT_LATENCY_JITTER_MS=
ARG FAULT_LATENCY_P50_MS=
ARG FAULT_LATENCY_P90_MS=
ARG FAULT_LATENCY_P99_MS=
ARG FAULT_HANG_RATE=
ARG FAULT_RESET_RATE=
ARG FAULT_SLOW_START_SECONDS=
ARG FAULT_CRASH_AFTER_REQUESTS=
ARG FAULT_CRASH_AFTER_SECONDS=
ARG FAULT_MEMORY_KIB_PER_REQUEST=
ARG FAULT_MEMORY_CAP_MIB=
ARG FAULT_READINESS_FLAP_SECONDS=
ARG FAULT_CLOCK_BEHIND_SECONDS=
ARG FAULT_ROUTES=
ARG FAULT_HEADER=
ARG FAULT_RULES=
ARG FAULT_SEED=
ENV APP_VERSION=${VERSION} \
    APP_REVISION=${REVISION} \
    FAULT_ERROR_RATE=${FAULT_ERROR_RATE} \
    FAULT_STATUS_CODE=${FAULT_STATUS_CODE} \
    FAULT_LATENCY_MS=${FAULT_LATENCY_MS} \
    FAULT_LATENCY_JITTER_MS=${FAULT_LATENCY_JITTER_MS} \
    FAULT_LATENCY_P50_MS=${FAULT_LATENCY_P50_MS} \
    FAULT_LATENCY_P90_MS=${FAULT_LATENCY_P90_MS} \
    FAULT_LATENCY_P99_MS=${FAULT_LATENCY_P99_MS} \
    FAULT_HANG_RATE=${FAULT_HANG_RATE} \
    FAULT_RESET_RATE=${FAULT_RESET_RATE} \
    FAULT_SLOW_START_SECONDS=${FAULT_SLOW_START_SECONDS} \
    FAULT_CRASH_AFTER_REQUESTS=${FAULT_CRASH_AFTER_REQUESTS} \
    FAULT_CRASH_AFTER_SECONDS=${FAULT_CRASH_AFTER_SECONDS} \
    FAULT_MEMORY_KIB_PER_REQUEST=${FAULT_MEMORY_KIB_PER_REQUEST} \
    FAULT_MEMORY_CAP_MIB=${FAULT_MEMORY_CAP_MIB} \
    FAULT_READINESS_FLAP_SECONDS=${FAULT_READINESS_FLAP_SECONDS} \
    FAULT_CLOCK_BEHIND_SECONDS=${FAULT_CLOCK_BEHIND_SECONDS} \
    FAULT_ROUTES=${FAULT_ROUTES} \
    FAULT_HEADER=${FAULT_HEADER} \
    FAULT_RULES=${FAULT_RULES} \
    FAULT_SEED=${FAULT_SEED}
LABEL org.opencontainers.image.title="webapp" \
      org.opencontainers.image.description="A service with exact, seeded, measured faults." \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.base.name="${PYTHON_IMAGE}"
