# The web app's image. The harness builds the same one without Docker (harness/variants.py); a test holds the two
# against each other. Variants differ in build arguments only, so they share every layer with files in it.
ARG PYTHON_IMAGE=python:3.11-slim

FROM ${PYTHON_IMAGE} AS dependencies
COPY webapp/requirements.lock /tmp/requirements.lock
RUN python3 -m pip install --no-cache-dir --no-compile --disable-pip-version-check --require-hashes --only-binary :all: \
    --target /app/site-packages --requirement /tmp/requirements.lock \
 && rm -rf /app/site-packages/bin
COPY webapp/*.py /app/webapp/
# Compiled here, because the running container can neither write nor is meant to.
RUN python3 -m compileall -q --invalidation-mode unchecked-hash /app

FROM ${PYTHON_IMAGE}
COPY --from=dependencies /app /app
WORKDIR /app
USER 65532:65532
EXPOSE 8080/tcp
ENV PYTHONPATH=/app/site-packages \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
ENTRYPOINT ["python3", "-m", "gunicorn", "-c", "webapp/gunicorn.conf.py", "webapp.app:create_app()"]

# Last, so that another version costs no other layer. A blank FAULT_* means its default.
ARG VERSION=dev
ARG REVISION=unknown
ARG FAULT_ERROR_RATE=
ARG FAULT_STATUS_CODE=
ARG FAULT_LATENCY_MS=
ARG FAULT_LATENCY_JITTER_MS=
ARG FAULT_SEED=
ENV APP_VERSION=${VERSION} \
    APP_REVISION=${REVISION} \
    FAULT_ERROR_RATE=${FAULT_ERROR_RATE} \
    FAULT_STATUS_CODE=${FAULT_STATUS_CODE} \
    FAULT_LATENCY_MS=${FAULT_LATENCY_MS} \
    FAULT_LATENCY_JITTER_MS=${FAULT_LATENCY_JITTER_MS} \
    FAULT_SEED=${FAULT_SEED}
LABEL org.opencontainers.image.title="webapp" \
      org.opencontainers.image.description="A service with exact, seeded, measured faults." \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
