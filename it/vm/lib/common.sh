# Names, messages and places that every part of the lab uses. Sourced, never run.
# shellcheck shell=bash

readonly LAB_FAILURE=125
readonly LAB_USAGE=2

lab_home=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
repository=$(cd "$lab_home/../.." && pwd)
cache=${UBLK_BRIDGE_CACHE:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/ublk-bridge}/lab
readonly lab_home repository cache

say() { printf 'lab: %s\n' "$*" >&2; }

# fail MESSAGE [REMEDY]
fail() {
  say "$1"
  [[ $# -lt 2 ]] || printf '  try: %s\n' "$2" >&2
  exit "$LAB_FAILURE"
}

package_list() { grep -v '^#' "$lab_home/packages/$1"; }
