//! What disks, clocks and clients do to a server, and what it makes of it.
