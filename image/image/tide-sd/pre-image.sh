#!/bin/bash
# Called by rpi-image-gen in this folder before the image is made: $1 is the root file system, $2 where genimage's settings go.
set -eu

out=$2
: "${IGconf_image_disksig:?}" "${IGconf_image_name:?}" "${IGconf_image_suffix:?}" "${IGconf_image_boot_part_size:?}" \
    "${IGconf_image_root_part_size:?}" "${IGconf_device_sector_size:?}"

# A signature that the mounts do not know would make a card that does not start.
signature=${IGconf_image_disksig#0x}
for file in "$1/etc/fstab" "$1/boot/firmware/cmdline.txt"; do
    grep -q "PARTUUID=$signature-02" "$file" || {
        echo "$file does not name the root partition as PARTUUID=$signature-02" >&2
        exit 1
    }
done

# The UUIDs are as fixed as the signature: nothing looks for them, and the same files make the same image.
cat genimage.cfg.in genimage-sparse.cfg.in | sed \
    -e "s|<IMAGE_NAME>|$IGconf_image_name|g" \
    -e "s|<IMAGE_SUFFIX>|$IGconf_image_suffix|g" \
    -e "s|<BOOT_SIZE>|$IGconf_image_boot_part_size|g" \
    -e "s|<ROOT_SIZE>|$IGconf_image_root_part_size|g" \
    -e "s|<DISK_SIGNATURE>|$IGconf_image_disksig|g" \
    -e "s|<SETUP>|'$(readlink -ef setup.sh)'|g" \
    -e "s|<VFAT_EXTRAARGS>|-F 32 -S $IGconf_device_sector_size -i $signature ${IGconf_fs_vfat_mkfs_args:-}|g" \
    -e "s|<MKE2FS_EXTRAARGS>|-U $signature-0000-4000-8000-000000000002 ${IGconf_fs_ext4_mkfs_args:-}|g" \
    >"$out/genimage.cfg"
