//! Which addresses may be asked. A caller names an endpoint, so without rules it could reach through the service whatever
//! the service's machine reaches: its own ports, its neighbours, the metadata of its cloud.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::error::{Error, Result};

/// Who may be asked: `HOST:PORT`, `ADDRESS:PORT` or `NETWORK/BITS:PORT`, of which the port may be `*`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rule {
    who: Who,
    port: Option<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Who {
    Host(String),
    Net(Net),
}

impl Rule {
    /// `field` is the setting's, for the error.
    pub(super) fn parse(text: &str, field: &str) -> Result<Self> {
        let expected = "`HOST:PORT`, `10.0.0.0/8:PORT` or `[fd00::/8]:PORT` was expected, the port may be *";
        let wrong = || Error::invalid(field, format!("`{text}` was found, {expected}"));
        let (who, port) = text.rsplit_once(':').ok_or_else(wrong)?;
        let port = if port == "*" { None } else { Some(port.parse().map_err(|_| wrong())?) };
        let bare = who.trim_start_matches('[').trim_end_matches(']');
        let who = match bare.split_once('/') {
            Some((address, bits)) => {
                Net::new(address.parse().map_err(|_| wrong())?, bits.parse().map_err(|_| wrong())?).map(Who::Net)
            }
            None => {
                bare.parse().map_or_else(|_| name(bare).map(Who::Host), |address| Some(Who::Net(Net::one(address))))
            }
        };
        Ok(Self { who: who.ok_or_else(wrong)?, port })
    }

    /// Whether it is about one server and no other.
    pub(super) fn is_one(&self) -> bool {
        let one = match &self.who {
            Who::Host(_) => true,
            Who::Net(net) => net.bits == width(net.address),
        };
        one && self.port.is_some()
    }

    /// Whether there may be an address at which it allows this endpoint, so that no name is looked up for nothing.
    pub(super) fn may_allow(&self, host: &str, port: u16) -> bool {
        let address: Option<IpAddr> = host.parse().ok();
        self.port.is_none_or(|own| own == port)
            && match &self.who {
                Who::Host(own) => *own == host,
                Who::Net(net) => address.is_none_or(|address| net.holds(plain(address))),
            }
    }

    /// Whether a host that has this address may be asked there.
    ///
    /// Who names a host trusts who names its addresses, as far as to a private network. The machine itself, links and
    /// metadata are only for who names such an address, or such a network; to name all of the internet names no part that
    /// is set apart.
    pub(super) fn allows(&self, host: &str, port: u16, address: IpAddr) -> bool {
        let address = plain(address);
        let apart = APART.iter().find(|(net, _)| net.holds(address));
        self.port.is_none_or(|own| own == port)
            && match (&self.who, apart) {
                (Who::Host(own), apart) => {
                    let reach = apart.is_none_or(|(_, kind)| match kind {
                        Kind::Private => true,
                        Kind::Loopback => own == "localhost",
                        Kind::Other => false,
                    });
                    reach && *own == host
                }
                (Who::Net(net), apart) => net.holds(address) && apart.is_none_or(|(apart, _)| apart.contains(net)),
            }
    }
}

/// A host's name in small letters; `None` where it is none.
fn name(text: &str) -> Option<String> {
    let sound = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
    (!text.is_empty() && text.chars().all(sound)).then(|| text.trim_end_matches('.').to_ascii_lowercase())
}

/// The address that is really meant: IPv4 may be wrapped into IPv6.
fn plain(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address.to_canonical() else { return address.to_canonical() };
    match v6.segments() {
        // NAT64, RFC 6052.
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
            IpAddr::V4(Ipv4Addr::new(a, b, c, d))
        }
        _ => IpAddr::V6(v6),
    }
}

/// The addresses that have the first bits of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Net {
    address: IpAddr,
    bits: u32,
}

impl Net {
    fn new(address: IpAddr, bits: u32) -> Option<Self> {
        (bits <= width(address)).then_some(Self { address, bits })
    }

    fn one(address: IpAddr) -> Self {
        let address = plain(address);
        Self { address, bits: width(address) }
    }

    fn holds(&self, address: IpAddr) -> bool {
        let width = width(self.address);
        // All bits of another address differ where no bit counts, too.
        let differ = (number(self.address) ^ number(address)).checked_shr(width - self.bits).unwrap_or(0);
        width == self::width(address) && differ == 0
    }

    fn contains(&self, other: &Self) -> bool {
        self.bits <= other.bits && self.holds(other.address)
    }
}

fn width(address: IpAddr) -> u32 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u128::from(u32::from(v4)),
        IpAddr::V6(v6) => u128::from(v6),
    }
}

#[derive(Clone, Copy)]
enum Kind {
    Private,
    Loopback,
    /// The link's, where clouds have their metadata; multicast; what is reserved or leads elsewhere.
    Other,
}

const fn v4(a: u8, b: u8, c: u8, d: u8, bits: u32, kind: Kind) -> (Net, Kind) {
    (Net { address: IpAddr::V4(Ipv4Addr::new(a, b, c, d)), bits }, kind)
}

/// An address by its first three parts and its last.
const fn v6(a: u16, b: u16, c: u16, last: u16, bits: u32, kind: Kind) -> (Net, Kind) {
    (Net { address: IpAddr::V6(Ipv6Addr::new(a, b, c, 0, 0, 0, 0, last)), bits }, kind)
}

/// What is set apart from the internet, by IANA's registries of special addresses; the first that holds an address counts.
const APART: [(Net, Kind); 30] = [
    // Metadata of AWS, Google, Alibaba and Azure, within networks that are private otherwise or nobody's.
    v6(0xfd00, 0x0ec2, 0, 0x0254, 128, Kind::Other),
    v6(0xfd20, 0x00ce, 0, 0x0254, 128, Kind::Other),
    v4(100, 100, 100, 200, 32, Kind::Other),
    v4(168, 63, 129, 16, 32, Kind::Other),
    // What leads elsewhere: NAT64 of one's own, Teredo, relays of 6to4. What is thrown away, or stands in books.
    v6(0x0064, 0xff9b, 1, 0, 48, Kind::Other),
    v6(0x2001, 0, 0, 0, 32, Kind::Other),
    v4(192, 88, 99, 0, 24, Kind::Other),
    v6(0x0100, 0, 0, 0, 64, Kind::Other),
    v6(0x2001, 0x0db8, 0, 0, 32, Kind::Other),
    v4(192, 0, 2, 0, 24, Kind::Other),
    v4(198, 51, 100, 0, 24, Kind::Other),
    v4(203, 0, 113, 0, 24, Kind::Other),
    v4(10, 0, 0, 0, 8, Kind::Private),
    v4(100, 64, 0, 0, 10, Kind::Private),
    v4(172, 16, 0, 0, 12, Kind::Private),
    v4(192, 168, 0, 0, 16, Kind::Private),
    v4(127, 0, 0, 0, 8, Kind::Loopback),
    v4(0, 0, 0, 0, 8, Kind::Other),
    v4(169, 254, 0, 0, 16, Kind::Other),
    v4(192, 0, 0, 0, 24, Kind::Other),
    v4(198, 18, 0, 0, 15, Kind::Other),
    v4(224, 0, 0, 0, 4, Kind::Other),
    v4(240, 0, 0, 0, 4, Kind::Other),
    v6(0xfc00, 0, 0, 0, 7, Kind::Private),
    v6(0, 0, 0, 1, 128, Kind::Loopback),
    v6(0, 0, 0, 0, 64, Kind::Other),
    v6(0x2002, 0, 0, 0, 16, Kind::Other),
    v6(0xfe80, 0, 0, 0, 10, Kind::Other),
    v6(0xfec0, 0, 0, 0, 10, Kind::Other),
    v6(0xff00, 0, 0, 0, 8, Kind::Other),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(rule: &str, host: &str, address: &str) -> bool {
        Rule::parse(rule, "remote.allow[0]").unwrap().allows(host, 9000, address.parse().unwrap())
    }

    #[test]
    fn a_name_leads_to_the_internet_and_to_private_networks_alone() {
        let named = |address| allows("models.example:9000", "models.example", address);
        for address in ["93.184.216.34", "2606:4700::1111", "10.1.2.3", "192.168.0.7", "172.31.0.1", "fd00::1"] {
            assert!(named(address), "{address}");
        }
        for address in [
            "169.254.169.254",
            "::ffff:169.254.169.254",
            "64:ff9b::a9fe:a9fe",
            "fd00:ec2::254",
            "fd20:ce::254",
            "100.100.100.200",
            "168.63.129.16",
            "64:ff9b:1::a9fe:a9fe",
            "2001:0:1::1",
            "127.0.0.1",
            "::1",
            "::ffff:127.0.0.1",
            "64:ff9b::7f00:1",
            "0.0.0.0",
            "::",
            "fe80::1",
            "224.0.0.1",
            "ff02::1",
            "255.255.255.255",
            "2002:7f00:1::",
            "198.18.0.1",
            "fec0::1",
            "::127.0.0.1",
        ] {
            assert!(!named(address), "{address}");
        }
        assert!(!allows("models.example:9000", "other.example", "93.184.216.34"));
        assert!(allows("Models.Example.:*", "models.example", "93.184.216.34"));
        assert!(!allows("models.example:9001", "models.example", "93.184.216.34"));
        assert!(allows("localhost:9000", "localhost", "::1") && !allows("localhost:9000", "localhost", "fe80::1"));
    }

    #[test]
    fn an_address_or_a_network_is_allowed_for_what_it_names_and_no_more() {
        for (rule, address) in [
            ("127.0.0.1:9000", "127.0.0.1"),
            ("127.0.0.1:*", "::ffff:127.0.0.1"),
            ("127.0.0.0/8:*", "127.1.2.3"),
            ("[::1]:9000", "::1"),
            ("10.0.0.0/8:*", "10.255.0.1"),
            ("10.20.0.0/16:*", "10.20.1.1"),
            ("[fd00::/8]:*", "fd12::1"),
            ("0.0.0.0/0:*", "93.184.216.34"),
            ("169.254.7.7:*", "169.254.7.7"),
        ] {
            assert!(allows(rule, "whatever", address), "{rule} {address}");
        }
        for (rule, address) in [
            ("10.0.0.0/8:*", "11.0.0.1"),
            ("10.20.0.0/16:*", "10.21.0.1"),
            ("127.0.0.1:9001", "127.0.0.1"),
            ("0.0.0.0/0:*", "127.0.0.1"),
            ("0.0.0.0/0:*", "169.254.169.254"),
            ("0.0.0.0/0:*", "10.0.0.1"),
            ("[::/0]:*", "::1"),
            ("[::/0]:*", "fe80::1"),
            ("[::/0]:*", "fd00::1"),
            ("[::/0]:*", "::ffff:10.0.0.1"),
            ("0.0.0.0/0:*", "fd00::1"),
            ("128.0.0.0/1:*", "169.254.169.254"),
        ] {
            assert!(!allows(rule, "whatever", address), "{rule} {address}");
        }
    }

    #[test]
    fn rules_that_mean_nothing_are_refused_by_field() {
        for text in [
            "",
            "models.example",
            "a b:1",
            "10.0.0.0/33:*",
            "10.0.0.0/x:1",
            "host:99999",
            "host:",
            ":9000",
            "http://a:1",
        ] {
            let error = Rule::parse(text, "remote.allow[2]").unwrap_err().to_string();
            assert!(error.starts_with("remote.allow[2]: "), "{text}: {error}");
        }
    }
}
