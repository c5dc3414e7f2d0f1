# shellcheck shell=sh
# What every emulated machine of ours begins with, and the words that its script may use.

mount -t devtmpfs dev /dev
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t tmpfs run /run

# The console is for the journey: the kernel says there only why it can go on no longer.
echo 1 >/proc/sys/kernel/printk

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

# From two seconds after this, the receiver of the journey speaks: at /dev/ttyS1 of a guest, at the mini UART of a Pi.
receiver_on() {
    # The firmware's last line has no end.
    printf '\n== receiver on\n'
}
