# The image of control plane, sidecar and init container. `docker build .` (buildx: --platform linux/amd64,linux/arm64).
# It runs what `npm run image` runs, so the result is the same as without an engine: Node, the bundled program, iptables and
# the few libraries of Debian that these want, and no shell.

# Any Node from 20 with npm, on the release of scripts/image/debian-packages.ts: the install brings the Node of the image.
FROM node:24-bookworm-slim AS build
ARG SOURCE_DATE_EPOCH=0
WORKDIR /src
COPY . .
RUN npm run image

FROM scratch
COPY --from=build /src/build/image/ /
USER 1337:1337
ENTRYPOINT ["/lateral/bin/lateral"]
