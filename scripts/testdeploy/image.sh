# shellcheck shell=bash
# Part of scripts/test-deploy: what is in the image, and what is not.

test_image() {
  local image size
  image="messaging_api:$(version)"
  size=$(docker image inspect -f '{{.Size}}' "$image")
  [ "$size" -lt 20000000 ] || fail "the image has $size bytes"
  ok "the image has $((size / 1000000)) MB"
  test_contents "$image"
  test_secrets "$image" "messaging_api-redis:$(version)"
  test_reproducible "$image"
}

# The whole list of what is in it. The rest the engine puts into every container.
test_contents() {
  local got want id
  id=$(docker create "$1")
  docker export "$id" >"$run/image.tar"
  docker rm "$id" >/dev/null
  got=$(tar -tf "$run/image.tar" |
    grep -vE '/$|^(\.dockerenv|dev/console|etc/(hostname|hosts|mtab|resolv\.conf))$' | sort | tr '\n' ' ')
  want="etc/group etc/passwd etc/ssl/certs/ca-certificates.crt usr/local/bin/messaging_api usr/local/share/zoneinfo.zip "
  [ "$got" = "$want" ] || fail "the image holds: $got"
  got=$(tar --numeric-owner -tvf "$run/image.tar" | awk '$6 ~ /^var\/.*\/messaging_api\/$/ { print $1, $2, $6 }' | tr '\n' ' ')
  want="drwxr-x--- 65532/65532 var/lib/messaging_api/ drwxr-x--- 65532/65532 var/log/messaging_api/ "
  [ "$got" = "$want" ] || fail "the volumes start as: $got"
  ok "it holds the program and four files that it reads: no shell, no package manager"
}

# Every layer, not only what is left of them on top.
test_secrets() {
  local image secrets="$run/secrets.list" layers
  {
    cat "$clone/secrets/redis_password"
    echo
    cat "$clone/secrets/grafana_password"
    echo
    sed -n 's/.* #\([0-9a-f]*\) .*/\1/p' "$clone/secrets/users.acl"
    sed -n 2p "$clone/certs/privkey.pem"
  } >"$secrets"
  for image; do
    layers=$(mktemp -d "$run/layers.XXXXXX")
    docker save "$image" | tar -xC "$layers"
    find "$layers" -type f -exec sh -c 'case $(head -c 2 "$1" | od -An -tx1) in " 1f 8b") gzip -dc "$1";; *) cat "$1";; esac' _ {} \; |
      grep -aqFf "$secrets" && fail "$image holds a secret in a layer"
    docker history --no-trunc "$image" | grep -qFf "$secrets" && fail "$image holds a secret in its history"
    docker inspect "$image" | grep -qFf "$secrets" && fail "$image holds a secret in its configuration"
    rm -rf "$layers"
  done
  ok "no layer, history or configuration of the images holds a secret"
}

# The same bytes from another directory, by another user's Go.
test_reproducible() {
  local flags
  [ "${#standins[@]}" -gt 0 ] || return 0 # a pulled Go may be another release than this machine's
  tar -xOf "$run/image.tar" usr/local/bin/messaging_api >"$run/from-image"
  flags=$(sed -n 's/.*-ldflags "\(.*\)".*/\1/p' "$root/Dockerfile")
  # The Dockerfile's own words, with its argument.
  flags=${flags/\$\{VERSION\}/$(version)}
  (cd "$root" && CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags "$flags" -o "$run/from-host" ./cmd/messaging_api)
  cmp "$run/from-image" "$run/from-host" || fail "the binary is not reproducible"
  ok "the same source gives the same binary outside of the container"
}
