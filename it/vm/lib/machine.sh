# One virtual machine: its private directory, its processes, its end.
# shellcheck shell=bash

machine=  # private directory of this run
children=()
streams=()

# Everything that this run started or wrote goes, however it ends.
end_machine() {
  local child
  for child in "${children[@]}"; do kill -KILL "$child" 2>/dev/null || true; done
  wait 2>/dev/null || true
  [[ -z $machine ]] || rm -rf "$machine"
}

# start COMMAND...: a background process that is killed when this shell dies.
start() {
  setpriv --pdeathsig KILL -- "$@" </dev/null &
  children+=($!)
}

# open_machine: makes the private directory; removes those of runs that were killed.
open_machine() {
  local base=${TMPDIR:-/tmp} left pid
  for left in "$base"/ublk-bridge-lab.*; do
    pid=${left#"$base"/ublk-bridge-lab.}
    [[ ! -d $left || -d /proc/${pid%%.*} ]] || rm -rf "$left"
  done
  machine=$(mktemp -d "$base/ublk-bridge-lab.$$.XXXXXX")
  trap end_machine EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM HUP
}

# write_initramfs IMAGE COMMAND...: busybox, boot modules, guest scripts and the command.
write_initramfs() {
  local image=$1 kernel=$2 tree=$machine/initramfs
  shift 2
  mkdir -p "$tree"/{bin,proc,sys,dev,root,modules,lab}
  cp "$image/tools/busybox" "$tree/bin/"
  cp "$kernel"/*.ko "$tree/modules/"
  cp "$lab_home/guest/early-init" "$tree/init"
  cp "$lab_home"/guest/{init,modprobe.conf} "$tree/lab/"
  [[ -z $share ]] || : >"$tree/lab/share"
  printf '%s\0' "$@" >"$tree/lab/command"
  (cd "$tree" && find . -print0 | cpio --quiet --null -o -H newc) >"$machine/initramfs.cpio"
}

# write_distribution DIRECTORY: a read-only disk with the built ublk-bridge.
write_distribution() {
  local blocks
  blocks=$(du -sm "$1" | cut -f 1)
  mke2fs -q -t ext4 -O ^has_journal -E root_owner=0:0 -m 0 -d "$1" \
    "$machine/distribution.img" "$((blocks * 5 / 4 + 16))M" >/dev/null
}

# share_directory IMAGE DIRECTORY: serves DIRECTORY to the guest as it is, while it runs.
share_directory() {
  local tools=$1/tools
  start "$tools/loader" --library-path "$tools" "$tools/virtiofsd" --log-level error \
    --socket-path "$machine/share.sock" --shared-dir "$2" --sandbox none --xattr
  local tries=0
  until [[ -S $machine/share.sock ]]; do
    ((++tries < 100)) || fail "cannot share $2: virtiofsd does not start"
    sleep 0.05
  done
}

# boot IMAGE KERNEL
boot() {
  local image=${1//,/,,} kernel=$2 private=${machine//,/,,} port  # QEMU's spelling of commas
  local options=(
    -nodefaults -no-user-config -display none -no-reboot -nic none -monitor none
    -machine q35 -cpu max -accel "$accelerator" -smp "$cpus" -m "$memory"
    -kernel "$kernel/vmlinux" -initrd "$machine/initramfs.cpio"
    -append "console=ttyS0 quiet panic=-1 oops=panic mitigations=off rdinit=/init"
    -serial "file:$private/console"
    -drive "file=$image/root.img,if=virtio,format=raw,snapshot=on,cache=unsafe"
    -device virtio-serial-pci)
  for port in stdout stderr status; do
    mkfifo "$machine/$port"
    options+=(-chardev "file,id=$port,path=$private/$port,append=on"
      -device "virtserialport,chardev=$port,name=$port")
  done
  [[ ! -f $machine/distribution.img ]] || options+=(
    -drive "file=$private/distribution.img,if=virtio,format=raw,readonly=on")
  [[ -z $disk ]] || options+=(
    -drive "file=${disk//,/,,},if=virtio,format=raw,cache=writeback")
  [[ -z $share ]] || options+=(
    -object "memory-backend-memfd,id=memory,size=$memory,share=on"
    -machine memory-backend=memory
    -chardev "socket,id=share,path=$private/share.sock"
    -device vhost-user-fs-pci,chardev=share,tag=share)
  [[ -z $icount ]] || options+=(-icount "$icount")
  exec {status_stream}<>"$machine/status"
  cat "$machine/stdout" &
  streams+=($!)
  cat "$machine/stderr" >&2 &
  streams+=($!)
  start qemu-system-x86_64 "${options[@]}"
  qemu=${children[-1]}
}

# await_status: sets `status` to the command's exit status, or ends the run if there is none.
await_status() {
  local deadline=$((SECONDS + timeout))
  until read -r -t 0.5 -u "$status_stream" status; do
    kill -0 "$qemu" 2>/dev/null || guest_failed "the guest died before the command ended"
    ((SECONDS < deadline)) || guest_failed "the command did not end within $timeout s (--timeout)"
  done
}

# close_machine: ends the guest and waits until its output has been passed on.
close_machine() {
  local port
  kill -KILL "$qemu" 2>/dev/null || true
  # A reader still waits for its writer if QEMU ended before it opened its ports.
  for port in stdout stderr; do : <>"$machine/$port"; done
  wait "$qemu" "${streams[@]}" 2>/dev/null || true
}

# guest_failed MESSAGE: keeps the console log and shows its end.
guest_failed() {
  local log=$cache/console-$series.log
  close_machine
  cp "$machine/console" "$log"
  say "$1; the end of its console ($log):"
  tail -n 40 "$log" | tr -d '\r' | sed 's/^/  | /' >&2
  exit "$LAB_FAILURE"
}
