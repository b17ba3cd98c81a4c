# Debian packages through a private apt state: the host's sources stay as they are.
# shellcheck shell=bash

qemu_major() {
  local banner
  banner=$(qemu-system-x86_64 --version 2>/dev/null) || { echo 0; return; }
  [[ $banner =~ version\ ([0-9]+) ]] && echo "${BASH_REMATCH[1]}" || echo 0
}

# Prints the host packages that are still missing. Older QEMU breaks Linux 6.12 (see README.md).
missing_host_packages() {
  local package
  for package in $(package_list host); do
    [[ $(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) == installed ]] \
      || echo "$package"
  done
  (($(qemu_major) >= 10)) || echo qemu-system-x86
}

host_codename() { (. /etc/os-release && echo "${VERSION_CODENAME:-}"); }

# The mirror that the host itself uses for its own release.
debian_mirror() {
  local codename mirror
  codename=$(host_codename)
  # Without release information it also answers before the first `apt-get update`.
  mirror=$(apt-get indextargets --no-release-info --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' \
    | awk -v release="$codename" '!found && $2 == release && $3 == "main" { found = 1; print $1 }')
  [[ -n $mirror ]] || fail "no Debian mirror found in this host's apt configuration" \
    "run the lab on Debian 12 or later, with '$codename' in the apt sources"
  echo "${mirror%/}"
}

# private_apt STATE COMMAND ARGUMENT...   with the sources of `write_sources STATE`
private_apt() {
  local state=$1 command=$2
  shift 2
  local options=(
    -o Dir::Etc::sourcelist=/dev/null -o "Dir::Etc::sourceparts=$state/sources"
    -o Dir::Etc::preferences=/dev/null -o Dir::Etc::preferencesparts="$state/none"
    -o "Dir::State::Lists=$state/lists" -o "Dir::Cache=$state/cache"
    -o Acquire::Languages=none -o Acquire::Retries=3 -o APT::Sandbox::User=root
    -o APT::Update::Post-Invoke-Success::= -o DPkg::Lock::Timeout=300)
  # Without the host's package states, everything counts as not installed.
  [[ ! -f $state/status ]] || options+=(-o "Dir::State::status=$state/status")
  DEBIAN_FRONTEND=noninteractive "$command" -qq "${options[@]}" "$@" </dev/null
}

# write_sources STATE MIRROR SUITE...
write_sources() {
  local state=$1 mirror=$2
  shift 2
  mkdir -p "$state"/{sources,none,lists/partial,cache/archives/partial}
  printf '%s\n' 'Types: deb' "URIs: $mirror" "Suites: $*" 'Components: main' \
    'Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg' >"$state/sources/lab.sources"
}

installation_failed() {
  tail -n 20 "$1" >&2
  fail "apt-get cannot install what the lab needs" "see above; then run it/vm/prepare again"
}

# install_host_packages WORK: installs what is missing; a no-op on a prepared machine.
install_host_packages() {
  local state=$1/host-apt log=$1/apt.log codename mirror missing
  missing=$(missing_host_packages)
  [[ -n $missing ]] || return 0
  ((EUID == 0)) || fail "missing packages: ${missing//$'\n'/ }" "install them, or run as root"
  codename=$(host_codename)
  mirror=$(debian_mirror)
  say "installing ${missing//$'\n'/ }"
  write_sources "$state" "$mirror" "$codename" "$codename-updates" "$codename-backports"
  private_apt "$state" apt-get update
  # The backports are for QEMU alone.
  if grep -qx qemu-system-x86 <<<"$missing"; then
    private_apt "$state" apt-get install -y --no-install-recommends \
      -t "$codename-backports" qemu-system-x86 >"$log" 2>&1 || installation_failed "$log"
  fi
  missing=$(grep -vx qemu-system-x86 <<<"$missing" || true)
  # shellcheck disable=SC2086  # one word per package
  [[ -z $missing ]] || private_apt "$state" apt-get install -y --no-install-recommends $missing \
    >"$log" 2>&1 || installation_failed "$log"
  missing=$(missing_host_packages)
  [[ -z $missing ]] || fail "still missing after installation: ${missing//$'\n'/ }" \
    "install them by hand (QEMU must be version 10 or later)"
}
