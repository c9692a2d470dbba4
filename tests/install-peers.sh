#!/bin/sh
# Installs the real parts that the tests run against: Debian packages where this account may install them, and in
# .peers what comes from PyPI and npm. Anything still missing afterwards is a loud skip, or a failure when CI=true.
set -eu
cd "$(dirname "$0")/.."
packages="curl dbus-daemon e2fsprogs fuse3 gcc git golang-go golang-golang-x-mod-dev ipfs-cid libc6-dev libmodbus-dev
          libsml-dev libtpm2-pkcs11-1 libtss2-tcti-swtpm0 libtss2-tcti-tabrmd0 mosquitto mosquitto-clients mount opensc openssl
          p11-kit p11-kit-modules pkg-config procps signify-openbsd socat softhsm2 strace swtpm swtpm-tools systemd
          tpm2-abrmd tpm2-openssl tpm2-tools util-linux"
missing=""
for package in $packages; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q "ok installed" || missing="$missing $package"
done
# A Node.js from elsewhere serves as well.
command -v node > /dev/null || missing="$missing nodejs"
command -v npm > /dev/null || missing="$missing npm"
if [ -n "$missing" ] && { [ "$(id -u)" != 0 ] || ! command -v apt-get > /dev/null; }; then
    echo "These test peers are missing and cannot be installed by this account:$missing" >&2
elif [ -n "$missing" ]; then
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
fi

if ! cmp -s tests/peers/requirements.txt .peers/venv/installed.txt; then
    echo "Installing the checkers from PyPI into .peers …"
    "${PYTHON:-python3}" -m venv --clear .peers/venv
    .peers/venv/bin/pip install --quiet --disable-pip-version-check --ignore-requires-python \
        --requirement tests/peers/requirements.txt
    cp tests/peers/requirements.txt .peers/venv/installed.txt
fi
# Energy Web's ew-link-bond, without what it requires (web3 4, which no present Python has): its storage needs base58 only.
bond="energyweb==0.4.5 base58==2.1.1"
if [ "$(cat .peers/bond/installed.txt 2> /dev/null)" != "$bond" ]; then
    echo "Installing ew-link-bond into .peers …"
    rm -rf .peers/bond
    # shellcheck disable=SC2086  (a list of words)
    .peers/venv/bin/pip install --quiet --disable-pip-version-check --no-deps --target .peers/bond $bond
    echo "$bond" > .peers/bond/installed.txt
fi
if command -v npm > /dev/null && ! cmp -s tests/peers/package.json .peers/npm/installed.json; then
    echo "Installing the checkers from npm into .peers …"
    mkdir -p .peers/npm
    cp tests/peers/package.json .peers/npm/package.json
    (cd .peers/npm && npm install --silent --no-audit --no-fund --no-update-notifier --ignore-scripts < /dev/null)
    cp tests/peers/package.json .peers/npm/installed.json
fi
