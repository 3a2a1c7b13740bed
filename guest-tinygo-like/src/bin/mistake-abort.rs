//! The mistake `mistake-abort` as a `no_std` command.

#![no_std]
#![no_main]

wasiscope_guest_tinygo_like::mistake!(abort);
