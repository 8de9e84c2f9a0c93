#!/bin/sh
# Installs the packages of apt-packages.txt, and of the lists beside it that are named, where they
# are missing. Asks for nothing; without root or sudo it says in one line what to install and goes
# on (the demo then uses an archive of its own, tests are skipped with the reason).
set -eu
here="$(dirname "$0")"
missing=""
for package in $(cd "$here" && grep -hv '^#' apt-packages.txt "$@"); do
  command -v "$package" >/dev/null 2>&1 && continue  # also where it came another way, as npm does
  dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing="$missing $package"
done
[ -z "$missing" ] && exit 0
if ! command -v apt-get >/dev/null 2>&1; then
  echo "not a Debian system: please install$missing yourself" >&2
  exit 0
fi
if [ "$(id -u)" = 0 ]; then as_root=""
elif command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then as_root="sudo -n"
else
  echo "please install as root: apt-get install$missing" >&2
  exit 0
fi
# The services of these packages must not start by themselves: tests and demo start their own.
policy=/usr/sbin/policy-rc.d
made=""
if [ ! -e "$policy" ]; then
  printf '#!/bin/sh\nexit 101\n' | $as_root tee "$policy" >/dev/null
  $as_root chmod 755 "$policy"
  made=yes
fi
trap '[ -z "$made" ] || $as_root rm -f "$policy"' EXIT
echo "installing$missing" >&2
$as_root apt-get update -qq
# shellcheck disable=SC2086
$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
