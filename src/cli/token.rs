//! `assay token`: credentials for a service.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;

use super::Ended;
use super::args::Token;
use crate::api::identity::{Digest, fresh};
use crate::error::{Error, Result};

/// Prints what the service has to know to stdout, and the token itself to a file or to stderr, where it gets into no
/// configuration by mistake.
pub(super) fn token(args: Token) -> Result<Ended> {
    let Token::Create { name, tenant, role, expires, out } = args;
    let token = fresh()?;
    match out {
        Some(path) => {
            let file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
            let written = file.and_then(|mut file| writeln!(file, "{token}"));
            written.map_err(|e| Error::invalid("out", format!("{}: {e}", path.display())))?;
        }
        None => eprintln!("The token, which nobody can show again:\n{token}"),
    }
    // A string of TOML is one of JSON, save for characters that nobody has in a name.
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    println!("\n[[auth.token]]\nname = {}\ntenant = {}", quoted(&name), quoted(&tenant));
    println!("role = {}\nsha256 = \"{}\"", quoted(&role.to_string()), Digest::of(&token));
    if let Some(expires) = expires {
        println!("expires = \"{expires}\"");
    }
    Ok(Ended::Passed)
}
