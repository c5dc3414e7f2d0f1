#!/bin/bash
# Holds this folder against the real rpi-image-gen, without a network: every layer is well formed, every config's layers resolve to the
# expected order, and what must not be built is refused.
#
#   RPI_IMAGE_GEN=../rpi-image-gen image/check.sh            checks
#   RPI_IMAGE_GEN=../rpi-image-gen image/check.sh --update   writes down the orders that it found
#
# The tool refuses to begin without the packages that its install_deps.sh names.
set -euo pipefail

here=$(dirname "$(readlink -e "${BASH_SOURCE[0]}")")
update=${1:-}
# shellcheck source=image/VERSION.rpi-image-gen
. "$here/VERSION.rpi-image-gen"
: "${RPI_IMAGE_GEN:?name the folder of a checkout of rpi-image-gen}" "${tag:?}" "${commit:?}"
found=$(git -C "$RPI_IMAGE_GEN" rev-parse HEAD)
if [ "$found" != "$commit" ]; then
    echo "check.sh: $RPI_IMAGE_GEN is at $found, and this folder is written for $tag, $commit" >&2
    exit 1
fi

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
failures=0
report() {
    printf '%-4s %s\n' "$1" "$2"
    [ "$1" = ok ] || failures=$((failures + 1))
}

tool() {
    # Debian's Python, which has the modules that the tool imports.
    PATH=/usr/bin:$PATH "$RPI_IMAGE_GEN/rpi-image-gen" "$@" >"$scratch/log" 2>&1 </dev/null
}

# Stages 1 and 2 of a build: the layers are found, the variables judged, the order worked out.
plan() {
    local config=$1
    shift
    rm -rf "$scratch/plan"
    mkdir "$scratch/plan"
    tool clean -S "$here" -c "$here/config/$config.yaml" -B "$scratch/plan" -- "$@"
}

for layer in "$here"/layer/*.yaml "$here"/device/*/device.yaml "$here"/image/*/image.yaml; do
    if tool metadata --lint "$layer"; then
        report ok "lint ${layer#"$here"/}"
    else
        report FAIL "lint ${layer#"$here"/}"
        cat "$scratch/log"
    fi
done

programs=IGconf_tide_bindir=/nowhere
for config in release-pi3 release-pi4 release-pi5 ci-debian; do
    expected=$here/tests/expected-plan/$config.txt
    if ! plan "$config" "$programs"; then
        report FAIL "plan $config"
        cat "$scratch/log"
        continue
    fi
    # Name and version, in the order in which they are laid: that one is what matters, for later files replace earlier ones.
    cut -d: -f1,2 "$scratch/plan/bootstrap/layer.plan" | grep -v '^#' | tr : ' ' >"$scratch/order"
    [ "$update" != --update ] || cp "$scratch/order" "$expected"
    if diff -u "$expected" "$scratch/order"; then
        report ok "plan $config ($(wc -l <"$scratch/order") layers)"
    else
        report FAIL "plan $config is not as expected"
    fi
done

refused() {
    local what=$1
    shift
    if plan release-pi4 "$@"; then
        report FAIL "not refused: $what"
    else
        report ok "refused: $what"
    fi
}
refused "no folder with programs"
refused "programs in a relative folder" IGconf_tide_bindir=target
for gpio in 28 99 -1 5x; do
    refused "flash_gpio=$gpio" "$programs" "IGconf_tide_flash_gpio=$gpio"
    refused "pps_gpio=$gpio" "$programs" "IGconf_tide_pps_gpio=$gpio"
done
refused "an RTC that nobody knows" "$programs" IGconf_tide_rtc=ds1302
refused "another signature than fstab's" "$programs" IGconf_image_disksig=0x12345678
refused "a layer that is not there" "$programs" IGconf_layer_tide_base=tide-bass
refused "a device that is not there" "$programs" IGconf_device_layer=rpi9

echo "$failures failed"
[ "$failures" -eq 0 ]
