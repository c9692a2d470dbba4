#!/bin/sh
# Takes a signed checkpoint apart with the shell's tools, and has a program verify a signature that nobody unpacked.
#
#     check_note.sh openssl  CHECKPOINT ED25519.pem P256.pem
#     check_note.sh signify  CHECKPOINT ED25519.pem
#
# The text ends at the first empty line; the first signature line is Ed25519, the second ECDSA P-256. The first four
# bytes of what a line holds are the key id, and are not compared. What the text says is not looked at.
set -eu
export LC_ALL=C
program=$1 checkpoint=$2 ed25519=$3 p256=${4-}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

signature() {
    grep '^— ' "$checkpoint" | sed -n "$1p" | cut -d ' ' -f 3 | base64 -d 2> "$work/fault" | tail -c +5 > "$work/$1"
    [ -s "$work/$1" ] && [ ! -s "$work/fault" ]
}

sed '/^$/,$d' "$checkpoint" > "$work/text"
signature 1
if [ "$program" = openssl ]; then
    openssl pkeyutl -verify -pubin -inkey "$ed25519" -rawin -in "$work/text" -sigfile "$work/1"
    signature 2
    openssl pkeyutl -verify -pubin -inkey "$p256" -rawin -digest sha256 -in "$work/text" -sigfile "$work/2"
else
    # signify's files are a comment and base64 of "Ed", a key number of eight bytes, and the key or the signature.
    openssl pkey -pubin -in "$ed25519" -outform DER | tail -c 32 > "$work/key"
    for part in key 1; do
        echo "untrusted comment: $part"
        { printf Ed00000000; cat "$work/$part"; } | base64 -w 0
        echo
    done > "$work/both"
    head -n 2 "$work/both" > "$work/key.pub"
    tail -n 2 "$work/both" > "$work/text.sig"
    signify-openbsd -V -q -p "$work/key.pub" -x "$work/text.sig" -m "$work/text"
fi
