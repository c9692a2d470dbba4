#!/bin/sh
# Makes the private environment on a Debian machine without python3-venv: sh install-venv.sh PYTHON VENV
set -eu
if [ "$(id -u)" != 0 ] || ! command -v apt-get > /dev/null; then
    echo "Python's venv module is missing. Install it, then try again: apt-get install python3-venv" >&2
    exit 2
fi
echo "Installing python3-venv"
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends python3-venv > /dev/null
exec "$1" -m venv --clear "$2"
