#!/bin/sh
# Installs the Debian packages that the lab needs and builds its images into the cache.
#
#   install.sh             packages and images
#   install.sh --packages  only print the names of the packages
#
# The guest's kernel, and the Python and SSH server of its Debian root, are downloaded and unpacked into the cache
# ($PVE_QGA_LAB_CACHE or ~/.cache/pve-qga-lab), not installed: this machine is left alone. Of the packages, openssh-server
# starts a service of its own where that is allowed; the lab uses only its programs.
set -eu

packages='qemu-guest-agent qemu-system-x86 busybox-static openssh-client openssh-server sudo perl openssl util-linux
          e2fsprogs mawk procps python3 python3-pytest'

if [ "${1:-}" = --packages ]; then
    # shellcheck disable=SC2086 # a list of words
    echo $packages
    exit
fi

missing=
for package in $packages; do
    # A program that is there some other way (a newer Python, pytest from PyPI) need not be a package.
    case $package in
    python3) command -v python3 >/dev/null && continue ;;
    python3-pytest) python3 -c 'import pytest' 2>/dev/null && continue ;;
    esac
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing="$missing $package"
done
if [ -n "$missing" ] || ! apt-cache show linux-image-cloud-amd64 >/dev/null 2>&1; then
    apt-get -q update
fi
if [ -n "$missing" ]; then
    # shellcheck disable=SC2086 # a list of words
    DEBIAN_FRONTEND=noninteractive apt-get -q install -y --no-install-recommends $missing
fi
PYTHONPATH=$(dirname "$0")/.. python3 -m lab build
