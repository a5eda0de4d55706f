#!/bin/sh
# build_windows.sh [GO-BUILD-ARGUMENT...]: put the plugins for Windows into bin/, as .exe. It runs on any system.
#
# GO, GOARCH (amd64, arm64), GOFLAGS and CGO_ENABLED are honoured; all arguments go to "go build", as in build_linux.sh.
set -eu
cd "$(dirname "$0")"

export GOOS=windows
export CGO_ENABLED="${CGO_ENABLED:-0}"

dirs="./plugins/ipam/host-local ./plugins/ipam/static ./plugins/meta/flannel"
for dir in plugins/main/windows/*; do
	[ -e "$dir/main.go" ] && dirs="$dirs ./$dir"
done

mkdir -p bin
echo "Building plugins $GOOS"
for dir in $dirs; do
	echo "  ${dir##*/}.exe"
done
# One call for all: the packages they share are loaded and linked against only once.
# shellcheck disable=SC2086 # one word per directory; the names hold no spaces
exec "${GO:-go}" build -o bin/ "$@" $dirs
