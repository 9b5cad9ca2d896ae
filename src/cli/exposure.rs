//! What a service may be open to: beyond loopback only those who show who they are, and nobody who listens in.

use std::net::SocketAddr;

use crate::error::{Error, Result};

/// Whether only this machine reaches an address.
fn is_near(address: SocketAddr) -> bool {
    address.ip().to_canonical().is_loopback()
}

/// Refuses to listen where strangers could call, or read the tokens of those who may.
pub(super) fn check_service(address: SocketAddr, asks: bool, encrypts: bool) -> Result<()> {
    let why = match (asks, encrypts) {
        _ if is_near(address) => return Ok(()),
        (true, true) => return Ok(()),
        (false, _) => {
            "whoever reaches it could do everything; say in [auth] who may call (`assay token create` makes a token)"
        }
        (true, false) => "tokens would pass in the clear; name a certificate in [tls]",
    };
    let message = format!("`{address}` is beyond loopback, where {why}, or take the risk with --insecure");
    Err(Error::invalid("listen", message))
}

/// Refuses a console where strangers could read it: it asks nobody who they are.
pub(super) fn check_console(address: SocketAddr) -> Result<()> {
    if is_near(address) {
        return Ok(());
    }
    let message = format!(
        "`{address}` is beyond loopback, and the console asks nobody who they are; give a loopback address, or take the \
         risk with --insecure"
    );
    Err(Error::invalid("console", message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beyond_loopback_callers_are_asked_and_nobody_listens_in() {
        for near in ["127.0.0.1:1", "127.8.8.8:1", "[::1]:1", "[::ffff:127.0.0.1]:1"] {
            let address = near.parse().unwrap();
            assert!(check_service(address, false, false).is_ok() && check_console(address).is_ok(), "{near}");
        }
        for far in ["0.0.0.0:1", "[::]:1", "10.0.0.1:1", "[::ffff:10.0.0.1]:1"] {
            let address = far.parse().unwrap();
            let refusal = |asks, encrypts| check_service(address, asks, encrypts).unwrap_err().to_string();
            assert!(refusal(false, true).contains("[auth]") && refusal(false, false).contains("[auth]"));
            assert!(refusal(true, false).starts_with("listen: ") && refusal(true, false).contains("[tls]"));
            assert!(check_service(address, true, true).is_ok() && check_console(address).is_err());
        }
    }
}
