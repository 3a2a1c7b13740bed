#!/bin/sh
# RUSTC_WRAPPER for guests. cargo hashes the absolute path of a crate that lies outside the workspace into that crate's
# identity, and the identities of its dependencies into every crate above it; rustc orders functions by these. The
# shared workloads are such a crate, and all guests are above it: this gives them the same identity everywhere.
rustc=$1
shift
case ${CARGO_PKG_NAME:-} in
wasiscope-*)
    for argument; do
        shift
        case $argument in metadata=*) argument=metadata=$CARGO_PKG_NAME-${CARGO_CRATE_NAME:-none} ;; esac
        set -- "$@" "$argument"
    done
    ;;
esac
exec "$rustc" "$@"
