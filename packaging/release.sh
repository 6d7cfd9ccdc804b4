#!/usr/bin/env bash
# Everything of a release, below dist/release: archives of the binaries, packages, image layout, chart, bills of
# materials, checksums.
#   bash packaging/release.sh v1.2.3
# ARCHES and TAGS can be set. TWICE=1 makes all of it a second time, from a copy of the commit in another directory and
# with an empty build cache, and compares every file.
set -euo pipefail
version=${1:?usage: release.sh v1.2.3}
cd "$(dirname "$0")/.."
number=${version#v}
if ! [[ $number =~ ^[0-9]+\.[0-9]+\.[0-9]+(-[0-9A-Za-z.-]+)?$ ]]; then echo "$version is no semantic version"; exit 2; fi
# COMMIT is set only for a copy of a commit, which has no history.
if [ -z "${COMMIT:-}" ]; then
  if [ -n "$(git status --porcelain)" ]; then echo "commit first: a release is made of a commit"; exit 2; fi
  COMMIT=$(git rev-parse HEAD)
fi
arches=${ARCHES:-amd64 arm64}
dist=$PWD/dist
rm -rf "$dist"
mkdir -p "$dist/release"

# archive FILE DIRECTORY NAMES...: a tar archive in which nothing tells of this machine.
archive() {
  tar --sort=name --mtime=@1700000000 --owner=0 --group=0 --numeric-owner --mode=a+rX,u+w,go-w -C "$2" -cf "$1" "${@:3}"
}

go build -C packaging/tools -o "$dist/tools" .
for arch in $arches; do
  bash packaging/build.sh linux "$arch" "$version" "$COMMIT" "$dist/linux_$arch" "${TAGS:-}"
  for program in agent agentctl; do
    if [ "$arch" = "$(go env GOHOSTARCH)" ]; then
      said=$("$dist/linux_$arch/$program" --version)
      case $said in
        *"$version"*"$COMMIT"*) ;;
        *) echo "$program --version names not version $version and commit $COMMIT: $said"; exit 1 ;;
      esac
    fi
    "$dist/tools" sbom -binary "$dist/linux_$arch/$program" -version "$number" -out "$dist/release/${program}_${number}_linux_$arch.cdx.json"
  done
  archive "$dist/programs.tar" "$dist/linux_$arch" agent agentctl
  gzip -n <"$dist/programs.tar" >"$dist/release/ringmaster_${number}_linux_$arch.tar.gz"
  rm "$dist/programs.tar"
  "$dist/tools" packages -root "$PWD" -bin "$dist/linux_$arch" -version "$number" -arch "$arch" -out "$dist/release"
done
"$dist/tools" image -root "$PWD" -dist "$dist" -arch "${arches// /,}" -version "$number" -commit "$COMMIT" -out "$dist/image"
archive "$dist/release/ringmaster_${number}_image.tar" "$dist/image" .
"$dist/tools" chart -chart deploy/helm/ringmaster -version "$number" -out "$dist/release"
"$dist/tools" sums -dir "$dist/release"
(cd "$dist/release" && sha256sum --check --strict --quiet SHA256SUMS)

if [ "${TWICE:-}" = 1 ]; then
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  mkdir "$work/copy"
  git archive "$COMMIT" | tar -x -C "$work/copy"
  (cd "$work/copy" && TWICE='' COMMIT=$COMMIT GOCACHE=$work/cache bash packaging/release.sh "$version")
  diff "$dist/release/SHA256SUMS" "$work/copy/dist/release/SHA256SUMS"
  diff -r "$dist/release" "$work/copy/dist/release"
  echo "two builds of $COMMIT are equal, all $(wc -l <"$dist/release/SHA256SUMS") files"
fi
echo "the release is in dist/release"
