#!/bin/busybox sh
# shellcheck shell=dash
# The first program of a guest: it makes a small system ready, runs the journey's script, and switches the machine off.

/bin/busybox mkdir -p /dev /proc /run /sys /tmp
/bin/busybox --install -s /bin
export PATH=/bin
# shellcheck source=crates/tide-journey/src/guest/words.sh
. /words

# i2c_chip ADDRESS: a chip at /dev/i2c-0 whose 256 registers keep what is written to them.
i2c_chip() {
    modprobe i2c-dev
    modprobe i2c-stub "chip_addr=$1"
}

# shellcheck source=/dev/null
. /script
poweroff -f
