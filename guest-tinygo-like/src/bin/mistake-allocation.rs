//! The mistake `mistake-allocation` as a `no_std` command.

#![no_std]
#![no_main]

wasiscope_guest_tinygo_like::mistake!(allocation);
