#!/usr/bin/dash
# The first program of a Pi in QEMU: it makes a small system ready, runs the journey's script, and switches the machine off.

export PATH=/usr/bin
mkdir -p /dev /proc /run /sys /tmp /data /var/log
# shellcheck source=crates/tide-journey/src/guest/words.sh
. /words

load_drivers() {
    modprobe i2c-bcm2835 && modprobe i2c-dev && modprobe bcm2835_wdt || return 1
    # The kernel makes their nodes a moment later.
    for _ in 1 2 3 4 5 6 7 8 9 10; do
        [ -e /dev/i2c-1 ] && [ -e /dev/watchdog0 ] && return
        sleep 0.5
    done
    ls /dev
    return 1
}

# shellcheck source=/dev/null
. /script
# Debian's device tree names nothing that could switch a Pi off. A reset ends QEMU as well.
echo b >/proc/sysrq-trigger
sleep 60
