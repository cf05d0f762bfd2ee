#!/usr/bin/env bash
# What tests need and pip does not have: a browser, pdflatex, a file system without links (exFAT), from Debian's packages.
# Does nothing where they are; without root it says what is missing, and those tests are skipped.
set -euo pipefail

missing=()
command -v chromium >/dev/null || missing+=(chromium)
command -v pdflatex >/dev/null || missing+=(texlive-latex-recommended lmodern)
command -v mkfs.exfat >/dev/null || missing+=(exfatprogs)
command -v mount.exfat-fuse >/dev/null || missing+=(exfat-fuse)
[ "${#missing[@]}" = 0 ] && exit 0
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
  echo "debian_programs: not installed, for want of root or apt-get: ${missing[*]}" >&2
  exit 0
fi
apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends fonts-dejavu-core "${missing[@]}" >/dev/null
