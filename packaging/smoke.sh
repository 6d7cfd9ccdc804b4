#!/usr/bin/env bash
# The way of a newcomer, from the Debian packages, the rpm packages and the image to a scraped sample, and back. It installs
# and purges ringmaster-agent and ringmaster-agentctl on this machine, so it is for Debian in CI and containers, as root:
#   bash packaging/smoke.sh DIRECTORY     with agent and agentctl of this machine's architecture in DIRECTORY
set -euo pipefail
bin=$(cd "$1" && pwd)
cd "$(dirname "$0")/.."
arch=$(go env GOARCH)
work=$(mktemp -d)
pid=
trap '[ -z "$pid" ] || kill "$pid" 2>/dev/null || true; rm -rf "$work"' EXIT
go build -C packaging/tools -o "$work/tools" .
port=22345
url=http://127.0.0.1:$port
fail() { printf 'smoke: %s\n' "$*" >&2; exit 1; }

# eventually COMMAND...: repeats it until it succeeds, for half a minute.
eventually() {
  local n
  for n in $(seq 150); do
    if "$@" >/dev/null 2>&1; then return 0; fi
    sleep 0.2
  done
  fail "this never came true: $*"
}
ready() { curl -sf "$url/-/ready"; }
scraped() { curl -sf "$url/agent/api/v1/metrics/targets" | grep -q '"state":"up"'; }
appended() { curl -sf "$url/metrics" | grep -E '^agent_wal_samples_appended_total\{.*\} [1-9]'; }

mkdir "$work/configs"
cat >"$work/configs/self.yaml" <<CONFIG
scrape_configs:
  - job_name: self
    scrape_interval: 1s
    static_configs:
      - targets: ['127.0.0.1:$port']
CONFIG

# stop: as systemd does it.
stop() { kill -TERM "$pid"; wait "$pid" || fail "the agent ended with $?"; pid=; }

"$work/tools" packages -root "$PWD" -bin "$bin" -version 0.0.1 -arch "$arch" -out "$work/one" >/dev/null
"$work/tools" packages -root "$PWD" -bin "$bin" -version 0.0.2 -arch "$arch" -out "$work/two" >/dev/null

# start: the command of the unit, with its environment file, user and directory, on another port.
start() {
  sed -i "s/^ARGS=.*/ARGS=\"-server.http.address=127.0.0.1:$port\"/" /etc/default/ringmaster-agent
  local command ARGS
  command=$(sed -n 's/^ExecStart=//p' /lib/systemd/system/ringmaster-agent.service)
  ARGS=$(sed -n 's/^ARGS="\(.*\)"/\1/p' /etc/default/ringmaster-agent)
  command=${command/\$ARGS/$ARGS}
  (cd /var/lib/ringmaster && exec setpriv --reuid ringmaster --regid ringmaster --clear-groups -- $command) 2>"$work/log" &
  pid=$!
}

# use UPGRADE...: from installed packages to a sample, then with the command UPGRADE to the next version, which goes on.
use() {
  agentctl --version >/dev/null
  [ "$(stat -c %a:%G /etc/ringmaster/agent.yaml)" = 640:ringmaster ] || fail "others can read /etc/ringmaster/agent.yaml"
  if command -v systemd-analyze >/dev/null; then systemd-analyze verify --man=no /lib/systemd/system/ringmaster-agent.service; fi
  start
  eventually ready
  agentctl config-sync -a "$url" "$work/configs"
  eventually scraped
  eventually appended
  ringmaster-agent -health -server.http.address=127.0.0.1:$port
  stop
  printf '# edited by the administrator\n' >>/etc/ringmaster/agent.yaml
  "$@"
  grep -q 'edited by the administrator' /etc/ringmaster/agent.yaml || fail "an upgrade has overwritten the main file"
  [ "$(stat -c %a:%G /etc/ringmaster/agent.yaml)" = 640:ringmaster ] || fail "after an upgrade others can read /etc/ringmaster/agent.yaml"
  start
  eventually scraped # the store has kept the config
  stop
}

### The Debian packages.
dpkg -i "$work"/one/*.deb >/dev/null
use eval 'dpkg -i "$work"/two/*.deb >/dev/null'
dpkg -r ringmaster-agent ringmaster-agentctl >/dev/null
[ -d /var/lib/ringmaster/wal ] && [ -f /etc/ringmaster/agent.yaml ] || fail "a removal has taken data away"
dpkg -P ringmaster-agent ringmaster-agentctl >/dev/null 2>&1
[ ! -e /var/lib/ringmaster ] && [ ! -e /etc/ringmaster ] || fail "a purge has left data behind"
echo "smoke: the Debian packages install, run, upgrade and go"

### lintian, the linter of Debian packages. What it may find is argued in packaging/lintian.
if command -v lintian >/dev/null; then
  lintian --allow-root --fail-on error,warning --tag-display-limit 0 "$work"/one/*.deb
  echo "smoke: lintian has nothing to say"
fi

### The rpm packages, with their scripts. Debian's rpm wants to be told that this is meant; what they depend on is in no
### database of rpm here.
if command -v rpm >/dev/null; then
  database() { rpm --force-debian --dbpath "$work/rpms" "$@"; }
  rpm --checksig --nosignature "$work"/one/*.rpm >/dev/null
  [ "$(rpm -qp --requires "$work"/one/ringmaster-agent-0*.rpm | grep -cx shadow-utils)" = 1 ] || fail "the rpm does not name what makes its user"
  database --nodeps -i "$work"/one/*.rpm
  use eval 'database --nodeps -U "$work"/two/*.rpm'
  database -q ringmaster-agent ringmaster-agentctl | grep -c -- '-0\.0\.2-' | grep -qx 2 || fail "the rpms are not upgraded"
  database --nodeps -e ringmaster-agent ringmaster-agentctl
  [ ! -e /usr/bin/ringmaster-agent ] && [ ! -e /usr/bin/agentctl ] || fail "a removal of the rpm has left the programs"
  [ -d /var/lib/ringmaster/wal ] && [ -f /etc/ringmaster/agent.yaml.rpmsave ] || fail "a removal of the rpm has taken data away"
  rm -r /var/lib/ringmaster /etc/ringmaster /etc/default/ringmaster-agent.rpmsave # rpm knows no purge
  userdel ringmaster
  echo "smoke: the rpm packages install, run, upgrade and go"
fi

# image_runs ROOT: from the root of an image to a sample, as the image's user.
image_runs() {
  inside() { chroot --userspec=65532:65532 "$@"; }
  mkdir -p "$1/tmp"
  cp -r "$work/configs" "$1/tmp/configs"
  (exec chroot --userspec=65532:65532 "$1" /usr/bin/agent -config.file=/etc/ringmaster/agent.yaml -server.http.address=127.0.0.1:$port) 2>"$work/log" &
  pid=$!
  eventually ready
  inside "$1" /usr/bin/agentctl config-sync -a "$url" /tmp/configs
  eventually scraped
  eventually appended
  inside "$1" /usr/bin/agent -health -server.http.address=127.0.0.1:$port
  stop
}

### The image that is made without an engine.
mkdir -p "$work/dist/linux_$arch"
cp "$bin/agent" "$bin/agentctl" "$work/dist/linux_$arch/"
"$work/tools" image -root "$PWD" -dist "$work/dist" -arch "$arch" -version 0.0.1 -out "$work/image"
"$work/tools" unpack -layout "$work/image" -arch "$arch" -to "$work/root"
image_runs "$work/root"
echo "smoke: the image runs"

### The image of the Containerfile. Registries may be out of reach, so stand-ins take the names of its two base images: an
### empty root on which this machine's /usr is mounted, and one with the user of distroless images and no more.
if ! command -v buildah >/dev/null || ! unshare --mount true 2>/dev/null; then
  echo "smoke: the Containerfile is not built: there is no buildah, or nothing may be mounted here"
else
  export BUILDAH_ISOLATION=chroot
  engine() { buildah --storage-driver vfs --root "$work/engine" --runroot "$work/engine-run" "$@"; }
  stand_in() { # NAME DIRECTORY FLAGS OF buildah config...
    local container
    container=$(engine from scratch)
    engine copy -q "$container" "$2" / >/dev/null
    engine config "${@:3}" "$container"
    engine commit -q --rm "$container" "$1" >/dev/null
  }
  mkdir -p "$work/go/etc" "$work/go/tmp" "$work/go/usr" "$work/distroless/etc" "$work/context"
  for dir in bin lib lib64; do ln -s "usr/$dir" "$work/go/$dir"; done
  cp /etc/passwd /etc/group "$work/go/etc/"
  stand_in docker.io/library/golang:1.26 "$work/go" --env PATH=/go-root/bin:/usr/bin --env GOCACHE=/go-cache --env GOMODCACHE=/go-modules --env GOFLAGS=-mod=readonly
  printf 'nonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin\n' >"$work/distroless/etc/passwd"
  printf 'nonroot:x:65532:\n' >"$work/distroless/etc/group"
  stand_in gcr.io/distroless/static-debian12:nonroot "$work/distroless" --user 65532
  git ls-files -z | tar --null -T - -c | tar -x -C "$work/context"
  engine build-using-dockerfile -q --pull-never --format docker -f packaging/Containerfile -v /usr:/usr:ro -v "$(go env GOROOT):/go-root:ro" \
    -v "$(go env GOMODCACHE):/go-modules" -v "$(go env GOCACHE):/go-cache" --build-arg VERSION=v0.0.1 --build-arg COMMIT=none --build-arg TAGS=light \
    -t ringmaster "$work/context" >"$work/log" 2>&1 || { cat "$work/log"; fail "the Containerfile does not build"; }
  [ "$(engine inspect --type image --format '{{.OCIv1.Config.User}} {{.OCIv1.Config.Entrypoint}} {{.OCIv1.Config.WorkingDir}} {{.Docker.Config.Healthcheck.Test}}' ringmaster)" = \
    "65532:65532 [/usr/bin/agent] /var/lib/ringmaster [CMD /usr/bin/agent -health]" ] || fail "the image of the Containerfile is configured otherwise"
  image_runs "$(engine mount "$(engine from --pull-never ringmaster)")"
  echo "smoke: the image of the Containerfile runs"
fi

### The main files of the chart.
for golden in deploy/helm/golden/*.yaml; do
  awk '/^  agent.yaml: \|/ {on = 1; next} /^---/ {on = 0} on {sub(/^    /, ""); print}' "$golden" >"$work/agent.yaml"
  "$bin/agent" -config.check -config.file="$work/agent.yaml" >/dev/null
done
echo "smoke: the main files of the chart are valid"
