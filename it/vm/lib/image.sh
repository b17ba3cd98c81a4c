# The prepared image directory: which one fits this recipe, and how it comes to be.
# shellcheck shell=bash

# The directory for this recipe and JDK; another recipe gets another name.
image_directory() {
  local jdk
  jdk=$(find_jdk)
  local recipe=("$lab_home"/packages/* "$lab_home"/lib/{apt,kernel,root}.sh)
  printf '%s/%s\n' "$cache" \
    "$( (cat "${recipe[@]}" && jdk_release "$jdk") | sha256sum | head -c 16)"
}

# prepare_image: installs packages and builds the image directory, where missing. Prints nothing
# on stdout; one preparation at a time, the others wait for it and use its result.
prepare_image() {
  local image=$1 lock
  if [[ -d $image && -z $(missing_host_packages) ]]; then
    touch "$image"
    return
  fi
  mkdir -p "$cache"
  exec {lock}>"$cache/lock"
  flock --nonblock "$lock" || { say "waiting for another preparation" && flock "$lock"; }
  # Nobody else builds while we hold the lock, so these are leftovers.
  rm -rf --one-file-system "$cache"/partial.*
  local work=$cache/partial.$$ started=$SECONDS
  mkdir "$work"
  # shellcheck disable=SC2064  # expanded now: the function's variables are gone at exit
  trap "rm -rf --one-file-system '$work'; say 'the preparation failed, nothing of it is kept'" EXIT
  install_host_packages "$work"
  if [[ ! -d $image ]]; then
    say "preparing the guest image (once; a minute or two)"
    fetch_kernels "$work"
    build_root "$work"
    rm -rf "$work"/{host,guest}-apt "$work/apt.log" "$work"/debs-* "$work"/tree-*
    mv "$work" "$image"
    find "$cache" -mindepth 1 -maxdepth 1 -type d -mtime +14 ! -path "$image" \
      -exec rm -rf {} +
    say "prepared in $((SECONDS - started)) s: $image"
  fi
  rm -rf "$work"
  trap - EXIT
  exec {lock}>&-
}
