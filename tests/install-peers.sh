#!/bin/sh
# Installs the real parts that the tests run against, where this account may install Debian packages.
# Anything that is still missing afterwards is a loud skip, or a failure when CI=true.
set -eu
packages="gcc libc6-dev libmodbus-dev mosquitto mosquitto-clients openssl pkg-config procps socat strace systemd e2fsprogs mount"
missing=""
for package in $packages; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q "ok installed" || missing="$missing $package"
done
[ -z "$missing" ] && exit 0
if [ "$(id -u)" != 0 ]; then
    echo "Not root, so these test peers are not installed:$missing" >&2
    exit 0
fi
echo "Installing test peers:$missing"
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
# A test machine needs no broker running: the tests start their own.
printf '#!/bin/sh\nexit 101\n' > /usr/sbin/policy-rc.d.meter-gateway
apt-get install -y -qq --no-install-recommends $missing > /dev/null
rm -f /usr/sbin/policy-rc.d.meter-gateway
