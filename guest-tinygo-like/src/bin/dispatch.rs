//! The `dispatch` workload as a `no_std` command.

#![no_std]
#![no_main]

wasiscope_guest_tinygo_like::command!(dispatch);
