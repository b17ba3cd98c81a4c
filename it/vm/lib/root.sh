# The guest's root file system: Debian 13, the host's JDK and the modules of both kernels.
# shellcheck shell=bash

readonly jdk_floor=25
readonly root_size=8G

jdk_release() { sed -n 's/^JAVA_VERSION="\(.*\)"/\1/p' "$1/release" 2>/dev/null; }

# Prints the home of a JDK that is new enough: $JAVA_HOME, or the first one installed.
find_jdk() {
  local home release
  for home in "${JAVA_HOME:-}" /usr/lib/jvm/*; do
    [[ -n $home && -x $home/bin/javac ]] || continue
    release=$(jdk_release "$home")
    release=${release%%[.+-]*}
    if ((${release:-0} >= jdk_floor)); then
      echo "$home"
      return
    fi
  done
  fail "no JDK $jdk_floor or newer found" "install one under /usr/lib/jvm, or set JAVA_HOME"
}

# build_root WORK: makes WORK/root.img and WORK/tools from the trees of fetch_kernels.
build_root() {
  local work=$1 root=$1/root mirror packages series
  mirror=$(debian_mirror)
  packages=$(package_list guest | paste -sd,)
  mmdebstrap --quiet --variant=minbase --include="$packages" \
    --aptopt='Acquire::Languages "none"' --aptopt='Acquire::Retries "3"' \
    --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/doc/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' \
    trixie "$root" "$mirror" </dev/null
  mkdir -p "$root/usr/lib/modules" "$root/opt/ublk-bridge" "$root/share" "$root/lab"
  for series in 6.12 7; do
    mv "$work/tree-$series"/usr/lib/modules/* "$root/usr/lib/modules/"
    rm -rf "$work/tree-$series"
  done
  copy_jdk "$(find_jdk)" "$root/opt/jdk"
  keep_tools "$root" "$work/tools"
  echo ublk-lab >"$root/etc/hostname"
  printf '127.0.0.1 localhost ublk-lab\n::1 localhost\n' >"$root/etc/hosts"
  rm -rf "$root/var/cache/apt" "$root/var/lib/apt/lists" "$root"/usr/lib/udev/hwdb.*
  mke2fs -q -t ext4 -O ^has_journal -m 0 -N 200000 -d "$root" "$work/root.img" "$root_size" >/dev/null
  rm -rf "$root"
}

# copy_jdk HOME TARGET: what runs programs and tests; no sources, manuals or jmods. Times are
# kept because the CDS archive records that of lib/modules.
copy_jdk() {
  local home=$1 target=$2
  cp -rL --preserve=mode,timestamps "$home" "$target"
  rm -rf "$target"/{jmods,man,legal,include,demo,sample,lib/src.zip}
  [[ -f $target/lib/server/classes.jsa ]] || "$target/bin/java" -Xshare:dump >/dev/null
}

# keep_tools ROOT TARGET: programs of Debian 13 that the lab runs outside the root image:
# busybox in the initramfs, virtiofsd on the host (by its own loader; Debian 12 has none).
keep_tools() {
  local root=$1 target=$2 library
  mkdir -p "$target"
  cp "$root/usr/bin/busybox" "$root/usr/libexec/virtiofsd" "$target/"
  cp -L "$root/lib64/ld-linux-x86-64.so.2" "$target/loader"
  for library in libc.so.6 libm.so.6 libgcc_s.so.1 libseccomp.so.2 libcap-ng.so.0; do
    cp -L "$root/usr/lib/x86_64-linux-gnu/$library" "$target/"
  done
}
