# The sidecar's image: privet, the auditor's tool, and the system's libcrypto, for a user who is not root.
#
#   docker build -t privet:0.1.0 .
#
# Both stages are Debian 12, so the libcrypto that the build saw is the one that runs.

FROM rust:1.95-slim-bookworm AS build
RUN apt-get update \
 && apt-get install -y --no-install-recommends build-essential libssl-dev pkg-config \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
ENV CARGO_TARGET_DIR=/target OPENSSL_NO_VENDOR=1
RUN cargo build --locked --release -p privet -p privet-audit \
 && install -D -m 0755 -t /out /target/release/privet /target/release/privet-audit

FROM debian:bookworm-slim
RUN apt-get update \
 && apt-get install -y --no-install-recommends libssl3 \
 && rm -rf /var/lib/apt/lists/*
COPY --from=build /out/ /usr/local/bin/
COPY LICENSE NOTICE /usr/share/doc/privet/
# Fails the build, not the pod, when a shared library is missing.
RUN privet --version && privet-audit --version
# By number, so that runAsNonRoot can be checked without a passwd file.
USER 65532:65532
EXPOSE 8080 9901 9902
ENTRYPOINT ["/usr/local/bin/privet"]
CMD ["run", "--config", "/etc/privet/config/privet.yaml"]
