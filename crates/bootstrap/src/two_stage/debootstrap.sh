#!/bin/sh
# Starts the second stage for those who call it by debootstrap's name: /debootstrap/debootstrap --second-stage
set -u

target=
second=false
keep=false
while [ $# -gt 0 ]; do
    case $1 in
    --second-stage) second=true ;;
    --second-stage-target) shift && target=${1-} ;;
    --second-stage-target=*) target=${1#*=} ;;
    --keep-debootstrap-dir) keep=true ;;
    # The first stage has decided everything else.
    --*) printf 'I: %s decides nothing in the second stage\n' "$1" ;;
    esac
    shift
done
if ! $second; then
    printf 'E: this program only finishes a tree: %s --second-stage\n' "$0" >&2
    exit 1
fi
if $keep; then mkdir -p "$target/debootstrap" && true >"$target/debootstrap/.keep"; fi
target=${target%/}
if [ -n "$target" ]; then
    chroot "$target" /bin/sh /rootstrap/second-stage
else
    /bin/sh /rootstrap/second-stage
fi || exit 1
printf 'I: Base system installed successfully.\n'
