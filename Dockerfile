# The image of control plane, sidecar and init container. `docker build .` (buildx: --platform linux/amd64,linux/arm64).
# It runs what `npm run image` runs, so the result is the same as without an engine: Node, the bundled program, iptables and
# the few libraries of Debian that these want, and no shell.

# Any Node from 20 with npm, on the release of scripts/image/debian-packages.ts: the install brings the Node of the image. It is of
# the machine that builds: the image of another architecture is put together of its packages, and nothing of it is run.
FROM --platform=$BUILDPLATFORM node:24-bookworm-slim AS build
ARG TARGETARCH
ARG SOURCE_DATE_EPOCH=0
# what the installed Node wants beyond the base's own
RUN apt-get update && apt-get install -y --no-install-recommends libatomic1 && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
RUN npm run image -- ${TARGETARCH:+--arch $TARGETARCH} /image

FROM scratch
COPY --from=build /image/ /
USER 1337:1337
ENTRYPOINT ["/lateral/bin/lateral"]
