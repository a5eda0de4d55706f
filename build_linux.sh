#!/bin/sh
# build_linux.sh [GO-BUILD-ARGUMENT...]: put one static executable per plugin into bin/.
#
# GO, GOOS, GOARCH, GOFLAGS and CGO_ENABLED are honoured; all arguments go to "go build", for example
#   ./build_linux.sh -ldflags '-X github.com/containernetworking/plugins/pkg/utils/buildversion.BuildVersion=v2.0.0'
set -eu
cd "$(dirname "$0")"

# The plugins run on Linux, wherever they are built.
if [ "$(uname)" = Darwin ]; then
	export GOOS="${GOOS:-linux}"
fi
export CGO_ENABLED="${CGO_ENABLED:-0}"

# plugin_dirs prints the directories that hold a plugin's main package; a sub-tree may be missing.
plugin_dirs() {
	for dir in plugins/meta/* plugins/main/* plugins/ipam/*; do
		[ "${dir##*/}" != windows ] && [ -e "$dir/main.go" ] && echo "./$dir"
	done
	return 0
}

dirs=$(plugin_dirs)
if [ -z "$dirs" ]; then
	echo "build_linux.sh: no plugin under plugins/meta, plugins/main or plugins/ipam" >&2
	exit 0
fi

mkdir -p bin
echo "Building plugins ${GOOS:-}"
for dir in $dirs; do
	echo "  ${dir##*/}"
done
# One call for all: the packages they share are loaded and linked against only once.
# shellcheck disable=SC2086 # one word per directory; the names hold no spaces
exec "${GO:-go}" build -o bin/ "$@" $dirs
