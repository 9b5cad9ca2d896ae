//! The entry of the command line.

fn main() {}
