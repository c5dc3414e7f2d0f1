# The server's container, for amd64 and arm64. `docker compose up -d` pulls it, or builds it from this folder.
#
#   docker build --target server -t tide-server .
#   docker build --target film -t tide-server:film .      the same with ffmpeg
#
# What compiles runs on the machine that builds, for whichever architecture is asked for; nothing is compiled in an emulator.

# Debian 13 (trixie), slim, of 2026-08-24: the index of all its architectures. A tag could be moved.
ARG BASE_IMAGE=docker.io/library/debian:trixie-slim@sha256:d7e12182ce18b85b93007c1dedf31f2d29e01ccf3182cc4017c709b6259bc132
# BuildKit's own values come through. The classic builder has none, and builds for amd64 if no --build-arg tells it otherwise.
ARG BUILDPLATFORM=${BUILDPLATFORM:-linux/amd64}
ARG TARGETPLATFORM=${TARGETPLATFORM:-linux/amd64}
ARG TARGETARCH=${TARGETARCH:-amd64}

FROM --platform=$BUILDPLATFORM $BASE_IMAGE AS build
ARG TARGETARCH
SHELL ["/bin/bash", "-euo", "pipefail", "-c"]

# Debian's own compiler: it has the standard library of every architecture as a package, and the C compiler to go with it.
RUN case "$TARGETARCH" in \
        amd64) gnu=x86-64-linux-gnu ;; \
        arm64) gnu=aarch64-linux-gnu ;; \
        *) echo "TARGETARCH is '$TARGETARCH'; this container is built for amd64 and arm64" >&2; exit 1 ;; \
    esac; \
    dpkg --add-architecture "$TARGETARCH"; \
    apt-get update; \
    apt-get install -y --no-install-recommends \
        ca-certificates cargo-web gcc libc6-dev make rustc-web \
        "gcc-$gnu" "libc6-dev:$TARGETARCH" "libstd-rust-web-dev:$TARGETARCH"

WORKDIR /source
COPY Cargo.toml Cargo.lock docker-compose.yml ./
COPY .cargo .cargo
COPY crates crates
ENV CARGO_TARGET_DIR=/target
RUN case "$TARGETARCH" in \
        amd64) machine=x86_64 ;; \
        arm64) machine=aarch64 ;; \
    esac; \
    target="$machine-unknown-linux-gnu"; \
    variable="${target//-/_}"; \
    export "CARGO_TARGET_${variable^^}_LINKER=$machine-linux-gnu-gcc" "CC_$variable=$machine-linux-gnu-gcc"; \
    export "AR_$variable=$machine-linux-gnu-ar"; \
    cargo build --locked --release --package tide-server --target "$target"; \
    install "/target/$target/release/tide-server" /tide-server

# All that the server needs around it: the C library, which also looks names up, and the roots that an ACME authority is trusted by.
RUN mkdir -p /packages /volume /root-file-system/{etc,tmp,usr/bin,usr/lib,usr/lib64,var/lib/dpkg/status.d}; \
    cd /packages; \
    apt-get download "libc6:$TARGETARCH" "libgcc-s1:$TARGETARCH"; \
    for package in *.deb; do \
        dpkg-deb --extract "$package" /unpacked; \
        # What is in here, for those who look for known holes.
        dpkg-deb --field "$package" > "/root-file-system/var/lib/dpkg/status.d/${package%%_*}"; \
    done; \
    cd /unpacked; \
    find usr '(' -name 'ld-linux-*' -o -name libc.so.6 -o -name libm.so.6 -o -name libresolv.so.2 -o -name libgcc_s.so.1 ')' \
        -exec cp --archive --parents '{}' /root-file-system ';'; \
    ln -s usr/lib /root-file-system/lib; \
    ln -s usr/lib64 /root-file-system/lib64; \
    cp --parents /etc/ssl/certs/ca-certificates.crt /root-file-system; \
    # Where Debian has nothing of its own: some of its packages have a link in the place of such a folder.
    for package in libc6 libgcc-s1; do \
        install -D --mode=644 "/usr/share/doc/$package/copyright" "/root-file-system/usr/share/licenses/$package/copyright"; \
    done; \
    echo 'tide:x:10001:10001:Tide Recorder:/data:/usr/sbin/nologin' > /root-file-system/etc/passwd; \
    echo 'tide:x:10001:' > /root-file-system/etc/group; \
    echo 'hosts: files dns' > /root-file-system/etc/nsswitch.conf; \
    chmod 1777 /root-file-system/tmp; \
    cp /tide-server /root-file-system/usr/bin

FROM scratch AS server
ARG VERSION=unreleased
ARG REVISION=unknown
# Name and tag under which it is released: `init` puts that one there.
ARG IMAGE=
LABEL org.opencontainers.image.title="Tide Recorder server" \
      org.opencontainers.image.description="Receives the photos of tide and time-lapse stations, keeps them, and shows them" \
      org.opencontainers.image.licenses="BSD-3-Clause" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION"
COPY --from=build /root-file-system /
# A new volume takes its owner from here.
COPY --from=build --chown=10001:10001 /volume /data
# A prototype's folders, if they are mounted there, are taken over.
ENV TIDE_PROTOTYPE_DIR=/prototype IMAGE_NAME=$IMAGE
USER 10001:10001
VOLUME /data
EXPOSE 5000
HEALTHCHECK --interval=30s --timeout=10s --start-period=30s --retries=3 CMD ["/usr/bin/tide-server", "healthcheck"]
ENTRYPOINT ["/usr/bin/tide-server"]

# ffmpeg needs two hundred libraries: a whole Debian. Its installation runs programs of the architecture that is asked for.
FROM --platform=$TARGETPLATFORM $BASE_IMAGE AS ffmpeg
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates ffmpeg \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/*

FROM server AS film
COPY --from=ffmpeg / /
