//! Names of subjects, keys and consumers. A subject begins with its tenant's, so that a tenant can be fenced in by NATS's own
//! permissions.

use std::fmt::Write;

/// A part of a subject that stands for any text; letters, digits, `-` and `_` stay as they are.
pub(super) fn part(text: &str) -> String {
    let mut part = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_' {
            part.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(part, "={byte:02x}");
        }
    }
    // An empty part is none to NATS.
    if part.is_empty() { "=".to_owned() } else { part }
}

/// What [`part`] was made of; `None` for what it never makes.
pub(super) fn text(part: &str) -> Option<String> {
    if part == "=" {
        return Some(String::new());
    }
    let (mut bytes, mut rest) = (Vec::with_capacity(part.len()), part.bytes());
    while let Some(byte) = rest.next() {
        if byte == b'=' {
            let digits = [rest.next()?, rest.next()?];
            bytes.push(u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

/// The parts of a subject that stand for a job: its tenant and its id.
fn job(name: &str) -> (String, String) {
    match name.split('/').collect::<Vec<_>>().as_slice() {
        ["tenants", tenant, "jobs", id] => (part(tenant), part(id)),
        _ => ("_".to_owned(), part(name)),
    }
}

/// The key of a record in the bucket: its parts between `/` become parts between `.`.
pub(super) fn key(key: &str) -> String {
    key.split('/').map(part).collect::<Vec<_>>().join(".")
}

/// What [`key`] was made of.
pub(super) fn key_of(subject: &str) -> Option<String> {
    Some(subject.split('.').map(text).collect::<Option<Vec<_>>>()?.join("/"))
}

/// A shard's place in the queue.
pub(super) fn task(tenant: &str, pool: &str, of: &str, shard: u32) -> String {
    format!("assay.{}.task.{pool}.{}.{shard}", part(tenant), job(of).1)
}

/// All places of a job's shards, whatever the tenant and the pool.
pub(super) fn tasks(of: &str) -> String {
    format!("assay.*.task.*.{}.*", job(of).1)
}

/// All places of a pool's shards of a tenant.
pub(super) fn tasks_for(pool: &str, tenant: &str) -> String {
    format!("assay.{}.task.{pool}.>", part(tenant))
}

/// A line's place in the log.
pub(super) fn line(of: &str, key: &str) -> String {
    let (tenant, id) = job(of);
    format!("assay.{tenant}.result.{id}.{key}")
}

/// Who hears that a job's log has grown. Words like this are in no stream.
pub(super) fn grown(of: &str) -> String {
    let (tenant, id) = job(of);
    format!("ASSAY_WAKE.log.{tenant}.{id}")
}

/// Who hears that a tenant has shards for a pool.
pub(super) fn freed(pool: &str, tenant: &str) -> String {
    format!("ASSAY_WAKE.task.{pool}.{}", part(tenant))
}

/// All of [`freed`].
pub(super) const ALL_FREED: &str = "ASSAY_WAKE.task.*.*";

/// The consumer of a pool's shards of a tenant.
pub(super) fn consumer(pool: &str, tenant: &str) -> String {
    format!("ASSAY_{pool}_{}", part(tenant))
}

/// The pool and the tenant of a consumer.
pub(super) fn consumer_of(name: &str) -> Option<(String, String)> {
    let (pool, tenant) = name.strip_prefix("ASSAY_")?.split_once('_')?;
    Some((pool.to_owned(), text(tenant)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_text_becomes_one_part_and_comes_back() {
        for given in ["", "a", "A-b_9", "a.b", "*", ">", "é/ü", "=", "=2e", "a b\n"] {
            let made = part(given);
            assert!(!made.is_empty() && !made.contains(['.', '*', '>', ' ', '/']), "{made}");
            assert_eq!(text(&made).as_deref(), Some(given));
        }
        assert_eq!(text("=zz"), None);
        assert_eq!(key_of(&key("b%/1/")).as_deref(), Some("b%/1/"));
        assert_eq!(key("job/acme/1"), "job.acme.1");
    }

    #[test]
    fn subjects_begin_with_the_tenant() {
        let job = "tenants/acme/jobs/7f";
        assert_eq!(task("acme", "default", job, 3), "assay.acme.task.default.7f.3");
        assert_eq!(line(job, "3"), "assay.acme.result.7f.3");
        assert_eq!(consumer_of(&consumer("big-memory", "a-b")), Some(("big-memory".to_owned(), "a-b".to_owned())));
    }
}
