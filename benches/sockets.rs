//! Sockets of the event stream.

fn main() {}
