#!/bin/sh
# RUSTC_WRAPPER for guests. cargo hashes the absolute path of a crate that lies outside the workspace into the crate's
# identity, and with it into every symbol; the order of functions in the wasm would follow from where the checkout
# lies. The shared workloads are such a crate: this gives them the same identity everywhere.
rustc=$1
shift
case " $* " in
*" --crate-name wasiscope_workloads "*)
    for argument; do
        shift
        case $argument in metadata=*) argument=metadata=wasiscope-workloads ;; esac
        set -- "$@" "$argument"
    done
    ;;
esac
exec "$rustc" "$@"
