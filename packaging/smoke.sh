#!/usr/bin/env bash
# The way of a newcomer, from the Debian package and from the image to a scraped sample, and back. It installs and purges
# ringmaster-agent and ringmaster-agentctl on this machine, so it is for CI and containers, as root:
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

### The Debian packages.
"$work/tools" packages -root "$PWD" -bin "$bin" -version 0.0.1 -arch "$arch" -out "$work/one" >/dev/null
"$work/tools" packages -root "$PWD" -bin "$bin" -version 0.0.2 -arch "$arch" -out "$work/two" >/dev/null
dpkg -i "$work"/one/*.deb >/dev/null
agentctl --version >/dev/null
[ "$(stat -c %a:%G /etc/ringmaster/agent.yaml)" = 640:ringmaster ] || fail "others can read /etc/ringmaster/agent.yaml"
if command -v systemd-analyze >/dev/null; then systemd-analyze verify --man=no /lib/systemd/system/ringmaster-agent.service; fi

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
start
eventually ready
agentctl config-sync -a "$url" "$work/configs"
eventually scraped
eventually appended
ringmaster-agent -health -server.http.address=127.0.0.1:$port
stop
printf '# edited by the administrator\n' >>/etc/ringmaster/agent.yaml
dpkg -i "$work"/two/*.deb >/dev/null
grep -q 'edited by the administrator' /etc/ringmaster/agent.yaml || fail "an upgrade has overwritten the main file"
start
eventually scraped # the store has kept the config
stop
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

### The rpm packages, installed into a directory: their files, sums and scripts.
if command -v rpm >/dev/null; then
  mkdir "$work/rpms"
  inside() { rpm --root "$work/rpms" --dbpath /var/lib/rpm --nodeps --noscripts "$@" 2>/dev/null; }
  rpm --checksig --nosignature "$work"/one/*.rpm >/dev/null
  inside -i "$work"/one/*.rpm
  "$work/rpms/usr/bin/ringmaster-agent" -version >/dev/null
  "$work/rpms/usr/bin/agentctl" --version >/dev/null
  [ -f "$work/rpms/lib/systemd/system/ringmaster-agent.service" ] || fail "the rpm lacks its unit"
  printf '# edited by the administrator\n' >>"$work/rpms/etc/ringmaster/agent.yaml"
  inside -U "$work"/two/*.rpm
  rpm --root "$work/rpms" --dbpath /var/lib/rpm -q ringmaster-agent ringmaster-agentctl | grep -c -- '-0\.0\.2-' | grep -qx 2 || fail "the rpms are not upgraded"
  grep -q 'edited by the administrator' "$work/rpms/etc/ringmaster/agent.yaml" || fail "an upgrade of the rpm has overwritten the main file"
  inside -e ringmaster-agent ringmaster-agentctl
  [ ! -e "$work/rpms/usr/bin/agentctl" ] || fail "a removal of the rpm has left the programs"
  rpm -qp --scripts "$work"/one/ringmaster-agent-0.0.1*.rpm | grep -q 'useradd --system' || fail "the rpm makes no user"
  echo "smoke: the rpm packages install, upgrade and go"
fi

### The image.
mkdir -p "$work/dist/linux_$arch"
cp "$bin/agent" "$bin/agentctl" "$work/dist/linux_$arch/"
"$work/tools" image -root "$PWD" -dist "$work/dist" -arch "$arch" -version 0.0.1 -out "$work/image"
"$work/tools" unpack -layout "$work/image" -arch "$arch" -to "$work/root"
mkdir -p "$work/root/tmp"
(exec chroot --userspec=65532:65532 "$work/root" /usr/bin/agent -config.file=/etc/ringmaster/agent.yaml -server.http.address=127.0.0.1:$port) 2>"$work/log" &
pid=$!
eventually ready
cp -r "$work/configs" "$work/root/tmp/configs"
chroot --userspec=65532:65532 "$work/root" /usr/bin/agentctl config-sync -a "$url" /tmp/configs
eventually scraped
chroot --userspec=65532:65532 "$work/root" /usr/bin/agent -health -server.http.address=127.0.0.1:$port
stop
echo "smoke: the image runs"

### The main files of the chart.
for golden in deploy/helm/golden/*.yaml; do
  awk '/^  agent.yaml: \|/ {on = 1; next} /^---/ {on = 0} on {sub(/^    /, ""); print}' "$golden" >"$work/agent.yaml"
  "$bin/agent" -config.check -config.file="$work/agent.yaml" >/dev/null
done
echo "smoke: the main files of the chart are valid"
