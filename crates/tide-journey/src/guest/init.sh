#!/bin/busybox sh
# shellcheck shell=dash
# The first program of a guest: it makes a small system ready, runs the journey's script, and switches the machine off.

/bin/busybox mkdir -p /dev /proc /run /sys /tmp
/bin/busybox --install -s /bin
export PATH=/bin
mount -t devtmpfs dev /dev
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t tmpfs run /run

# The console is for the journey: the kernel says there only why it can go on no longer.
dmesg -n 1

# show NAME COMMAND...: runs a command; the journey asks for what it printed by that name.
show() {
    name=$1
    shift
    echo "== $name"
    "$@" 2>&1
    status=$?
    # What it printed may not end its last line.
    printf '\n== %s ended with %s\n' "$name" "$status"
}

# From two seconds after this, the receiver of the journey speaks at /dev/ttyS1.
receiver_on() {
    # The firmware's last line has no end.
    printf '\n== receiver on\n'
}

# i2c_chip ADDRESS: a chip at /dev/i2c-0 whose 256 registers keep what is written to them.
i2c_chip() {
    modprobe i2c-dev
    modprobe i2c-stub "chip_addr=$1"
}

# shellcheck source=/dev/null
. /script
poweroff -f
