# Builds an image with the program and the files that it reads. There is no shell, no
# libc and no package manager in it. Any builder since Docker 17.09 can build it.
FROM golang:1.26-bookworm AS build
WORKDIR /src

# The modules first: they change less often than the source does.
COPY go.mod go.sum ./
RUN go mod download

COPY cmd cmd
COPY internal internal
ARG VERSION=
# The same source, version and Go give the same bytes on every machine: no paths
# (-trimpath), no repository state (-buildvcs), no C library. A panic has its stack
# trace without symbol tables too.
RUN CGO_ENABLED=0 go build -trimpath -buildvcs=false \
      -ldflags "-s -w -buildid= -X main.release=${VERSION}" \
      -o /root-fs/usr/local/bin/messaging_api ./cmd/messaging_api

# The files that the program reads: its user's name, the root certificates for ACME
# and Redis, and the time zones, for the midnight at which the log starts a new file.
RUN mkdir -p /root-fs/etc/ssl/certs /root-fs/usr/local/share /root-fs/var/lib /root-fs/var/log \
 && echo 'messaging_api:x:65532:65532:messaging_api:/nonexistent:/usr/sbin/nologin' >/root-fs/etc/passwd \
 && echo 'messaging_api:x:65532:' >/root-fs/etc/group \
 && cp /etc/ssl/certs/ca-certificates.crt /root-fs/etc/ssl/certs/ \
 && cp "$(go env GOROOT)/lib/time/zoneinfo.zip" /root-fs/usr/local/share/ \
 && chmod -R u=rwX,go=rX /root-fs \
 && mkdir -p -m 0750 /lib-fs/messaging_api /log-fs/messaging_api

FROM scratch
COPY --from=build /root-fs/ /
# A new volume takes owner and mode from the directory that it is mounted on.
COPY --from=build --chown=65532:65532 /lib-fs/ /var/lib/
COPY --from=build --chown=65532:65532 /log-fs/ /var/log/
ENV ZONEINFO=/usr/local/share/zoneinfo.zip
USER messaging_api
WORKDIR /var/lib/messaging_api
EXPOSE 8443 8080
# The default, said so that Docker knows: without it, it takes a SIGHUP for a stop by hand.
STOPSIGNAL SIGTERM
# A short interval shows a recovery soon. The program asks its own loopback port, and
# the store is asked once a second at most.
HEALTHCHECK --interval=3s --timeout=3s --start-period=10s --retries=3 \
  CMD ["/usr/local/bin/messaging_api", "health"]
ENTRYPOINT ["/usr/local/bin/messaging_api"]
