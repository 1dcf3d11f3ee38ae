# Builds messaging_api into an image that holds the program and what it reads,
# and nothing else: no shell, no libc, no package manager.
#
# It keeps to what every builder since Docker 17.09 knows.
FROM golang:1.26-bookworm AS build
WORKDIR /src

# The modules first: they change less often than the source does.
COPY go.mod go.sum ./
RUN go mod download

COPY cmd cmd
COPY internal internal
ARG VERSION=
# The same source, version and Go give the same bytes wherever they are built:
# no paths (-trimpath), no repository state (-buildvcs), no C library. Without
# symbol tables a panic still has its stack trace.
RUN CGO_ENABLED=0 go build -trimpath -buildvcs=false \
      -ldflags "-s -w -buildid= -X main.release=${VERSION}" \
      -o /root-fs/usr/local/bin/messaging_api ./cmd/messaging_api

# What the program reads besides its configuration: its user's name, the roots
# that ACME's and others' certificates are checked against, and time zones, for
# the midnight at which the log turns.
RUN mkdir -p /root-fs/etc/ssl/certs /root-fs/usr/local/share /root-fs/var/lib /root-fs/var/log \
 && echo 'messaging_api:x:65532:65532:messaging_api:/nonexistent:/usr/sbin/nologin' >/root-fs/etc/passwd \
 && echo 'messaging_api:x:65532:' >/root-fs/etc/group \
 && cp /etc/ssl/certs/ca-certificates.crt /root-fs/etc/ssl/certs/ \
 && cp "$(go env GOROOT)/lib/time/zoneinfo.zip" /root-fs/usr/local/share/ \
 && chmod -R u=rwX,go=rX /root-fs \
 && mkdir -p -m 0750 /lib-fs/messaging_api /log-fs/messaging_api

FROM scratch
COPY --from=build /root-fs/ /
# A new volume takes owner and mode from what it is mounted over.
COPY --from=build --chown=65532:65532 /lib-fs/ /var/lib/
COPY --from=build --chown=65532:65532 /log-fs/ /var/log/
ENV ZONEINFO=/usr/local/share/zoneinfo.zip
USER messaging_api
WORKDIR /var/lib/messaging_api
EXPOSE 8443 8080
# Often, since it is also how long recovery goes unnoticed: the program asks its
# own loopback port, which never reaches the store more than once a second.
HEALTHCHECK --interval=3s --timeout=3s --start-period=10s --retries=3 \
  CMD ["/usr/local/bin/messaging_api", "health"]
ENTRYPOINT ["/usr/local/bin/messaging_api"]
