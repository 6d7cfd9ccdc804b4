#!/usr/bin/env bash
# Builds agent and agentctl so that equal sources give equal files:
#   bash packaging/build.sh OS ARCH VERSION COMMIT DIRECTORY [TAGS]
set -euo pipefail
cd "$(dirname "$0")/.."
os=$1 arch=$2 version=$3 commit=$4 out=$5 tags=${6:-}
ldflags="-s -w -buildid= -X github.com/prometheus/common/version.Version=$version -X github.com/prometheus/common/version.Revision=$commit"
mkdir -p "$out"
export CGO_ENABLED=0 GOOS=$os GOARCH=$arch
go build -trimpath -buildvcs=false -tags "$tags" -ldflags "$ldflags" -o "$out/agent" ./cmd/agent
go build -trimpath -buildvcs=false -tags "$tags" -ldflags "$ldflags -X 'main.release=$version ($commit)'" -o "$out/agentctl" ./cmd/agentctl
size=$(wc -c <"$out/agentctl")
if [ "$size" -gt $((30 << 20)) ]; then echo "agentctl has $size bytes, more than 30 MiB"; exit 1; fi
