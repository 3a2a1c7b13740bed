//! Every case of every scenario of this repository, and its facts against `snapshots/`. A difference is a change of what users get:
//! look at it with `cargo insta review`, and commit it with the change that made it.

wasiscope_test::scenarios!("..");
