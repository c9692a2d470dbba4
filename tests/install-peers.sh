#!/bin/sh
# Installs the real parts that the tests run against, where this account may install Debian packages.
# Anything that is still missing afterwards is a loud skip, or a failure when CI=true.
set -eu
packages="e2fsprogs gcc git libc6-dev libmodbus-dev mosquitto mosquitto-clients mount openssl pkg-config procps socat
          strace systemd util-linux"
missing=""
for package in $packages; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q "ok installed" || missing="$missing $package"
done
[ -n "$missing" ] || exit 0
if [ "$(id -u)" != 0 ] || ! command -v apt-get > /dev/null; then
    echo "These test peers are missing and cannot be installed by this account:$missing" >&2
    exit 0
fi
echo "Installing test peers:$missing"
# The tests start their own servers: a package must not start one. The policy of the machine, if any, is kept.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' > "$policy"
    chmod 755 "$policy"
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
# shellcheck disable=SC2086  (a list of words)
apt-get install -y -qq --no-install-recommends $missing > /dev/null
