# The sidecar as an image: Node, the compiled program and its runtime packages. No npm, no shell, nothing to write to.
#   docker build -t pillion .
#   docker run --rm --read-only --network container:APP --pid container:APP pillion --app.url http://127.0.0.1:8080
# /proc/PID/io and /proc/PID/fd of the application can be read only with its own user id: add --user UID.

# Any image works that has Node 24.18.1 or later on the PATH below; it is used without its entry point.
ARG BASE_IMAGE=gcr.io/distroless/nodejs24-debian13:nonroot
# Any image that has Node 24 with npm. With a C compiler, as in this one, the image gets the program of process.exit_helper.
ARG BUILD_IMAGE=docker.io/library/node:24

FROM ${BUILD_IMAGE} AS build
WORKDIR /build
COPY package.json package-lock.json .npmrc ./
# Install scripts would only fetch a second Node; the example shop is no part of the program.
RUN npm ci --ignore-scripts --workspaces=false
COPY . .
RUN npm run build && node scripts/exit-status.ts

FROM ${BUILD_IMAGE} AS packages
WORKDIR /packages
COPY package.json package-lock.json .npmrc ./
RUN npm ci --omit=dev --ignore-scripts --workspaces=false
# The bill of materials tells what is in the image, so of the manifest only what is in it may stay.
RUN npm pkg delete devDependencies workspaces && npm sbom --sbom-format=cyclonedx > /sbom.cdx.json

FROM ${BASE_IMAGE}
ARG VERSION=unknown
ARG REVISION=unknown
ARG CREATED=unknown
LABEL org.opencontainers.image.title="Pillion" \
      org.opencontainers.image.description="An observability sidecar: health, process, and OTLP of one application, on one Prometheus endpoint." \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}"
WORKDIR /app
# Everything belongs to root, so that the program cannot change itself.
COPY LICENSE package.json ./
COPY --from=packages /packages/node_modules node_modules
COPY --from=packages /sbom.cdx.json ./
COPY --from=build /build/dist dist
COPY dashboards/grafana dashboards/grafana
# Distroless keeps its Node in /nodejs/bin, outside the PATH.
ENV PATH=/nodejs/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    NODE_ENV=production \
    PILLION_WEB_LISTEN=:19464
USER 65532:65532
EXPOSE 19464 4318 4317
HEALTHCHECK --interval=15s --timeout=5s --start-period=10s --retries=3 \
  CMD ["node", "/app/dist/main.js", "healthcheck"]
ENTRYPOINT ["node", "--max-semi-space-size=1", "--v8-pool-size=1", "--heap-growing-percent=60", "--no-maglev", "--no-opt", "/app/dist/main.js"]
