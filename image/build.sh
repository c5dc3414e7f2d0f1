#!/bin/bash
# Makes a card image of Raspberry Pi OS with rpi-image-gen: image/build.sh release-pi4 target/aarch64-unknown-linux-gnu/release
#
#   $1   a file of config/, without its ending
#   $2   the folder with the programs for the Pi
#   ...  more for rpi-image-gen, for instance IGconf_tide_flash_gpio=17
#
# RPI_IMAGE_GEN names a checkout of the tool; without it, it is fetched. WORK names the folder to work in (default: target/image).
set -euo pipefail

here=$(dirname "$(readlink -e "${BASH_SOURCE[0]}")")
refuse() {
    echo "build.sh: $*" >&2
    exit 1
}

[ $# -ge 2 ] || refuse "name a file of $here/config and the folder with the programs"
# As root, files of the overlays would keep their owner's number, and on the station that is the first person to log in.
[ "$(id -u)" -ne 0 ] || refuse "run this as an ordinary user: rpi-image-gen makes itself root in a user namespace"
config=$here/config/$1.yaml
[ -f "$config" ] || refuse "there is no $config"
programs=$(readlink -e "$2") || refuse "there is no folder $2"
for program in tide-recorder tide-timesync tide-provision; do
    [ -x "$programs/$program" ] || refuse "$programs/$program is missing: \`cargo xtask cross\` makes it"
done
shift 2

# shellcheck source=image/VERSION.rpi-image-gen
. "$here/VERSION.rpi-image-gen"
: "${tag:?}" "${commit:?}"
work=${WORK:-$here/../target/image}
mkdir -p "$work"
work=$(readlink -e "$work")

tool=${RPI_IMAGE_GEN:-}
if [ -z "$tool" ]; then
    tool=$work/rpi-image-gen-$tag
    [ -d "$tool" ] || git clone --quiet --depth 1 --branch "$tag" https://github.com/raspberrypi/rpi-image-gen.git "$tool"
fi
# A tag can be moved, a commit cannot.
found=$(git -C "$tool" rev-parse HEAD) || refuse "$tool is no checkout of rpi-image-gen"
[ "$found" = "$commit" ] || refuse "$tool is at $found, and this folder is written for $tag, $commit"

exec "$tool/rpi-image-gen" build -S "$here" -c "$config" -B "$work" -- "IGconf_tide_bindir=$programs" "$@"
