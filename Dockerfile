# The image of Tulle: the operator, and the init container that intercepts the traffic of a pod.
#
#   docker build --tag ghcr.io/tulle-mesh/tulle:0.1.0 .
#   docker build --tag ... --target prebuilt .     # takes the file `tulle` of this folder instead of building it

FROM debian:bookworm-slim AS runtime
# Interception needs the packet filter's programs. A base that has all of them needs no network.
RUN set -e; \
    if ! { command -v iptables-restore && command -v ip6tables-restore && command -v ip && test -d /etc/ssl/certs; } > /dev/null; then \
        apt-get update; \
        apt-get install --yes --no-install-recommends ca-certificates iproute2 iptables; \
        rm -rf /var/lib/apt/lists/*; \
    fi
# A number, so that Kubernetes can see that it is not root.
USER 65532:65532
ENTRYPOINT ["tulle"]

FROM runtime AS prebuilt
COPY --chmod=755 tulle /usr/local/bin/tulle

FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
RUN cargo build --release --locked --package tulle-operator --bin tulle && mv target/release/tulle /tulle

FROM runtime
COPY --from=build --chmod=755 /tulle /usr/local/bin/tulle
