#!/bin/sh
# Called by genimage before each file system is made; $IMAGEMOUNTPATH is what will be in it.
set -eu

case $1 in
    ROOT)
        # The tools that made the root file system have cleaned up after themselves, later than any layer of ours, and may have
        # put their own words here.
        rm -f "$IMAGEMOUNTPATH/etc/machine-id"
        : >"$IMAGEMOUNTPATH/etc/machine-id"
        chmod 0444 "$IMAGEMOUNTPATH/etc/machine-id"
        ln -sfn ../run/systemd/resolve/stub-resolv.conf "$IMAGEMOUNTPATH/etc/resolv.conf"
        echo tide >"$IMAGEMOUNTPATH/etc/hostname"
        ;;
    BOOT)
        # The firmware starts nothing that is not named here.
        test -s "$IMAGEMOUNTPATH/cmdline.txt"
        test -s "$IMAGEMOUNTPATH/config.txt"
        ;;
    *)
        echo "setup.sh: ROOT or BOOT, not $1" >&2
        exit 1
        ;;
esac
