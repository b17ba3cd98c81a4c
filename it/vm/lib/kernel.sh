# Debian's stock cloud kernels, unpacked for booting and for the guest's /lib/modules.
# shellcheck shell=bash

# What the initramfs loads, in order, to reach the root disk; the rest comes by modprobe.
readonly boot_modules=(virtio_blk)

kernel_suite() {
  case $1 in
    6.12) echo trixie ;;
    7) echo trixie-backports ;;
    *) return 1 ;;
  esac
}

# fetch_kernels WORK: downloads and unpacks both kernels into WORK/kernel-SERIES.
fetch_kernels() {
  local work=$1 state=$1/guest-apt mirror series
  mirror=$(debian_mirror)
  write_sources "$state" "$mirror" trixie trixie-backports
  : >"$state/status"
  private_apt "$state" apt-get update
  for series in 6.12 7; do
    fetch_kernel "$work" "$state" "$series"
  done
}

# fetch_kernel WORK STATE SERIES. Versions move and 7.x is split into several packages, so the
# names come from what apt would install.
fetch_kernel() {
  local work=$1 state=$2 series=$3 suite tree packages
  suite=$(kernel_suite "$series")
  tree=$work/tree-$series
  mkdir -p "$tree" "$work/debs-$series"
  packages=$(private_apt "$state" apt-get -s install --no-install-recommends -t "$suite" \
    linux-image-cloud-amd64 | awk '$1 == "Inst" && $2 ~ /^linux-(image|binary|modules)-[0-9]/ { print $2 }')
  [[ -n $packages ]] || fail "no cloud kernel found in Debian's $suite"
  # shellcheck disable=SC2086  # one word per package
  (cd "$work/debs-$series" && private_apt "$state" apt-get download -t "$suite" $packages)
  local deb
  for deb in "$work/debs-$series"/*.deb; do dpkg -x "$deb" "$tree"; done
  unpack_kernel "$tree" "$work/kernel-$series"
  rm -rf "$work/debs-$series"
}

# unpack_kernel TREE TARGET: TARGET gets vmlinux, version and the boot modules; the modules in
# TREE are left decompressed, because xz under emulation is slow.
unpack_kernel() {
  local tree=$1 target=$2 modules version image module
  modules=$(echo "$tree"/usr/lib/modules/*)
  version=${modules##*/}
  image=$(find "$tree" -name 'vmlinuz*' -type f | head -n 1)
  mkdir -p "$target"
  echo "$version" >"$target/version"
  extract_vmlinux "$image" >"$target/vmlinux"
  find "$modules" -name '*.ko.xz' -print0 | xargs -0 -r -n 64 -P 2 xz -d
  depmod -b "$tree/usr" "$version" 2>/dev/null || depmod -b "$tree" "$version"
  rm -f "$image" "$modules/vmlinuz" "$modules"/System.map*
  for module in "${boot_modules[@]}"; do
    cp "$(find "$modules" -name "$module.ko")" "$target/"
  done
}

# extract_vmlinux BZIMAGE: the kernel proper. QEMU boots it by its PVH entry, which saves the
# guest from decompressing itself. Header fields: Documentation/arch/x86/boot.rst.
extract_vmlinux() {
  local image=$1 setup_sectors offset length magic
  setup_sectors=$(od -An -tu1 -j $((0x1f1)) -N 1 "$image")
  offset=$(od -An -tu4 -j $((0x248)) -N 4 "$image")
  length=$(od -An -tu4 -j $((0x24c)) -N 4 "$image")
  ((setup_sectors > 0)) || setup_sectors=4
  offset=$((offset + (setup_sectors + 1) * 512))
  magic=$(od -An -tx1 -j "$offset" -N 4 "$image" | tr -d ' ')
  # The last four bytes of the payload are its unpacked size.
  dd if="$image" bs=1M iflag=skip_bytes,count_bytes skip="$offset" count=$((length - 4)) \
    status=none | case $magic in
    fd377a58) xz -dc ;;
    28b52ffd) zstd -dcq ;;
    *) fail "unknown compression of $image: $magic" ;;
  esac
}
