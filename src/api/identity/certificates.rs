//! Clients by the names in their certificates, which the handshake has verified.

use std::collections::HashMap;

use tokio_rustls::rustls::pki_types::CertificateDer;
use x509_parser::extensions::GeneralName;
use x509_parser::parse_x509_certificate;

use super::Identity;
use super::settings::Client;
use crate::error::{Error, Result};

/// All clients of a service, by name.
pub(super) struct Clients(HashMap<String, Identity>);

impl Clients {
    pub(super) fn new(clients: Vec<Client>) -> Result<Self> {
        let mut by_name = HashMap::new();
        for (place, Client { san, tenant, role }) in clients.into_iter().enumerate() {
            let identity = Identity { name: san.clone(), tenant, role };
            if by_name.insert(san.clone(), identity).is_some() {
                let message = format!("`{san}` was found a second time, one tenant and role was expected");
                return Err(Error::invalid(format!("auth.client[{place}].san"), message));
            }
        }
        Ok(Self(by_name))
    }

    /// Whose certificate this is. One with names of several identities is nobody's: which of them calls cannot be told.
    pub(super) fn find(&self, certificate: &CertificateDer<'_>) -> Option<&Identity> {
        let (_, certificate) = parse_x509_certificate(certificate).ok()?;
        // The handshake may be long ago.
        if !certificate.validity().is_valid() {
            return None;
        }
        let names = certificate.subject_alternative_name().ok()??;
        let mut found = names.value.general_names.iter().filter_map(|name| match name {
            GeneralName::DNSName(name) | GeneralName::URI(name) | GeneralName::RFC822Name(name) => self.0.get(*name),
            _ => None,
        });
        let first = found.next()?;
        found.all(|other| other == first).then_some(first)
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, SanType, date_time_ymd};

    use super::super::Role;
    use super::*;

    fn certificate(names: &[&str]) -> CertificateDer<'static> {
        until(2999, names)
    }

    fn until(year: i32, names: &[&str]) -> CertificateDer<'static> {
        let mut params = CertificateParams::default();
        params.not_after = date_time_ymd(year, 1, 1);
        let name = |text: &&str| match text.split_once(':') {
            Some(_) => SanType::URI((*text).try_into().unwrap()),
            None if text.contains('@') => SanType::Rfc822Name((*text).try_into().unwrap()),
            None => SanType::DnsName((*text).try_into().unwrap()),
        };
        params.subject_alt_names = names.iter().map(name).collect();
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().clone()
    }

    #[test]
    fn a_certificate_is_known_by_any_one_of_its_names() {
        let client = |san: &str| Client { san: san.to_owned(), tenant: "vision".parse().unwrap(), role: Role::Runner };
        let known = ["spiffe://example/ci", "ci.example", "ci@example.com"];
        let clients = Clients::new(known.iter().map(|san| client(san)).collect()).unwrap();
        let name = |names: &[&str]| clients.find(&certificate(names)).map(|identity| identity.name.clone());
        for san in known {
            assert_eq!(name(&["other.example", san]).as_deref(), Some(san));
        }
        assert_eq!(name(&["other.example"]), None);
        assert_eq!(name(&[]), None);
        assert!(clients.find(&until(2020, &known[..1])).is_none());
        assert_eq!(name(&known[..2]), None);
        assert!(Clients::new(vec![client("a"), client("a")]).is_err());
    }
}
