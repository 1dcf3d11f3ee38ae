# shellcheck shell=bash
# Part of scripts/test-deploy: the base images that the Dockerfiles name.
#
# They are pulled if a registry answers. Otherwise stand-ins with the same names are
# made from Debian's packages and this machine's Go, so that the Dockerfiles are built
# unchanged. A stand-in has a label with the hash of its inputs. At the end the
# stand-ins are removed from an engine that this test did not start: there they must not
# pass for the real images.

standin_label=messaging_api.stand-in
standins=()
debian_packages="busybox,ca-certificates,procps,prometheus,redis-server,redis-tools,systemd-sysv"
debian="$cache/debian-$debian_packages.tar"

base_images() {
  base_image "$(from Dockerfile)" standin_golang \
    "$(go version; cat "$root/go.mod" "$root/go.sum" "$root/scripts/testdeploy/standins.sh")"
  base_image "$(from deploy/redis/Dockerfile)" standin_redis \
    "$(cat "$root/scripts/testdeploy/standins.sh")"
}

# monitoring_images are those of the profile "monitoring". Debian has no Grafana. Its
# stand-in answers on Grafana's port as Grafana's user, which is enough to test who
# reaches it and what it reaches.
monitoring_images() {
  base_image "$(image_of prometheus)" standin_prometheus "$(cat "$root/scripts/testdeploy/standins.sh")"
  base_image "$(image_of grafana)" standin_grafana "$(cat "$root/scripts/testdeploy/standins.sh")"
}

# image_of SERVICE prints the image that docker-compose.yml names for it.
image_of() { awk -v service="  $1:" '$0 == service { found = 1 } found && $1 == "image:" { print $2; exit }' "$root/docker-compose.yml"; }

# from DOCKERFILE prints the image that its first stage starts from.
from() { awk '$1 == "FROM" { print $2; exit }' "$root/$1"; }

# base_image NAME MAKER INPUTS
base_image() {
  local hash have
  hash=$(sha256sum <<<"$3")
  hash=${hash%% *}
  have=$(docker image inspect -f "{{index .Config.Labels \"$standin_label\"}}" "$1" 2>/dev/null) || have=none
  case $have in
    "$hash") standins+=("$1"); return ;;
    "") note "$1 is there"; return ;;
    none) timeout 300 docker pull -q "$1" >/dev/null 2>&1 && { note "$1 is pulled"; return; } ;;
  esac
  note "no registry has $1: making a stand-in"
  standins+=("$1")
  debian_image
  "$2" "$1" "$hash"
}

# debian_tar makes a minimal Debian with all that any part needs of one: the CA
# roots, Redis, systemd, Prometheus.
debian_tar() {
  local rootfs="$run/rootfs"
  [ ! -e "$debian" ] || return 0
  need debootstrap debootstrap
  note "making a minimal Debian"
  debootstrap --variant=minbase --include="$debian_packages" \
    bookworm "$rootfs" "${DEBIAN_MIRROR:-http://deb.debian.org/debian}" >"$run/debootstrap.log" 2>&1 || {
    tail -n 5 "$run/debootstrap.log" >&2
    fail "debootstrap has failed"
  }
  rm -rf "$rootfs"/var/cache/apt/* "$rootfs"/var/lib/apt/lists/*
  tar -C "$rootfs" -cf "$debian.new" .
  mv "$debian.new" "$debian"
  rm -rf "$rootfs"
}

debian_image() {
  debian_tar
  docker import "$debian" messaging_api-debian >/dev/null
}

# standin_build NAME HASH CONTEXT builds the Dockerfile on standard input.
standin_build() {
  docker build -q --label "$standin_label=$2" -t "$1" -f - "$3" >/dev/null 2>"$run/standin.log" || {
    tail -n 5 "$run/standin.log" >&2
    fail "cannot make a stand-in for $1"
  }
}

# debian:12 is in docs/OPERATIONS.md, for its tar.
standin_debian() {
  mkdir -p "$run/empty"
  echo "FROM messaging_api-debian" >"$run/empty/Dockerfile"
  standin_build "$1" "$2" "$run/empty" <"$run/empty/Dockerfile"
}

# The parts of the official image that matter: its user with that number, its data
# directory and volume.
standin_redis() {
  mkdir -p "$run/empty"
  cat >"$run/empty/Dockerfile" <<'END'
FROM messaging_api-debian
RUN userdel redis \
 && sed -i -E '/^[^:]*:[^:]*:999:/d' /etc/passwd /etc/group \
 && groupadd --system --gid 999 redis \
 && useradd --system --gid redis --uid 999 redis \
 && mkdir /data && chown redis:redis /data
VOLUME /data
WORKDIR /data
END
  standin_build "$1" "$2" "$run/empty" <"$run/empty/Dockerfile"
}

# Debian's Prometheus with the official image's user, volume and busybox.
standin_prometheus() {
  mkdir -p "$run/empty"
  cat >"$run/empty/Dockerfile" <<'END'
FROM messaging_api-debian
RUN ln -s busybox /bin/wget \
 && mkdir -p /prometheus && chown nobody:nogroup /prometheus
USER nobody
VOLUME /prometheus
WORKDIR /prometheus
ENTRYPOINT ["/bin/prometheus"]
END
  standin_build "$1" "$2" "$run/empty" <"$run/empty/Dockerfile"
}

standin_grafana() {
  mkdir -p "$run/empty"
  cat >"$run/empty/Dockerfile" <<'END'
FROM messaging_api-debian
RUN ln -s busybox /bin/wget \
 && mkdir -p /var/lib/grafana /srv/api && echo ok >/srv/api/health && chown 472:0 /var/lib/grafana
USER 472
STOPSIGNAL KILL
ENTRYPOINT ["busybox", "httpd", "-f", "-p", "3000", "-h", "/srv"]
END
  standin_build "$1" "$2" "$run/empty" <"$run/empty/Dockerfile"
}

# This machine's Go, with the modules of go.mod in its cache. With GOPROXY=off a missing
# module fails at once. Compiling the standard library here saves most of a build's
# time later.
standin_golang() {
  local context="$run/golang"
  mkdir "$context"
  cp -r "$(go env GOROOT)" "$context/go"
  (
    cd "$root"
    GOFLAGS=-modcacherw GOMODCACHE="$context/mod" \
      GOPROXY="file://$(go env GOMODCACHE)/cache/download,$(go env GOPROXY)" go mod download
  )
  mkdir -p "$context/mod"
  cat >"$context/Dockerfile" <<'END'
FROM messaging_api-debian
COPY go /usr/local/go
COPY mod /go/pkg/mod
ENV GOPATH=/go GOTOOLCHAIN=local GOPROXY=off GOFLAGS=-modcacherw PATH=/go/bin:/usr/local/go/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
WORKDIR /go
RUN CGO_ENABLED=0 go build -trimpath std
END
  standin_build "$1" "$2" "$context" <"$context/Dockerfile"
  rm -rf "$context"
}

remove_standins() {
  [ -z "$engine_pid" ] || return 0 # ours: kept, so that the next run is fast
  [ "${#standins[@]}" = 0 ] || docker rmi -f "${standins[@]}" messaging_api-debian >/dev/null 2>&1 || true
}
