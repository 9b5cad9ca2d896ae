//! A report as JUnit XML, which continuous integration reads.
//!
//! Gates are the test cases: they are what may fail. A broken verdict is a figure and no error, so checks stand as
//! suites with their metrics as properties. Verdicts that could not be judged are an error of their own case, and
//! findings are printed, not failed.

use super::html::escape;
use super::output::{called, interval, outcome, title};
use crate::api::pb;

/// The report as one XML document: a suite for the gates, one for each check (and for the job), whose one case says
/// that it was measured.
pub(super) fn report(report: &pb::Report) -> String {
    let failures = report.gates.iter().filter(|gate| !gate.passed).count();
    let failed = report.counts.get("failed").copied().unwrap_or(0);
    let open = report.verdict == "incomplete";
    let (errors, tests) = (usize::from(open), report.gates.len() + 1 + report.checks.len());
    let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    xml.push_str(&format!(
        "<testsuites name=\"assay\" tests=\"{tests}\" failures=\"{failures}\" errors=\"{errors}\">\n"
    ));
    let tests = report.gates.len() + 1;
    xml.push_str(&format!(
        "  <testsuite name=\"gates\" tests=\"{tests}\" failures=\"{failures}\" errors=\"{errors}\">\n"
    ));
    for gate in &report.gates {
        xml.push_str(&format!("    <testcase classname=\"assay.gates\" name=\"{}\">", escape(&gate.gate)));
        let message = escape(&gate.message);
        match (gate.passed, outcome(gate)) {
            (true, "PASS") => xml.push_str(&format!("<system-out>{message}</system-out>")),
            (true, kind) => xml.push_str(&format!("<system-out>{kind}: {message}</system-out>")),
            (false, kind) => xml.push_str(&format!("<failure type=\"{kind}\" message=\"{message}\"/>")),
        }
        xml.push_str("</testcase>\n");
    }
    xml.push_str("    <testcase classname=\"assay.gates\" name=\"every case was judged\">");
    if open {
        let message = format!("{failed} verdicts failed, or some are missing; the figures are of the others");
        xml.push_str(&format!("<error type=\"incomplete\" message=\"{message}\"/>"));
    }
    xml.push_str("</testcase>\n  </testsuite>\n");
    report.checks.iter().for_each(|check| xml.push_str(&suite(check, &report.findings)));
    xml + "</testsuites>\n"
}

/// A check: overall metrics as properties, its findings as output.
fn suite(check: &pb::CheckReport, findings: &[pb::Finding]) -> String {
    let name = escape(&title(check));
    let mut xml = format!("  <testsuite name=\"{name}\" tests=\"1\" failures=\"0\" errors=\"0\">\n    <properties>\n");
    // An audit has nothing but metrics of features.
    for m in check.metrics.iter().filter(|m| m.slice.is_empty() || m.slice.starts_with("feature=")) {
        let count = m.count.map_or(String::new(), |count| format!(" ({count}/{})", m.n));
        let value = format!("{:.6} {}{count}, n = {}", m.value, interval(m), m.n);
        xml.push_str(&format!("      <property name=\"{}\" value=\"{}\"/>\n", escape(&called(m)), escape(&value)));
    }
    xml.push_str(&format!(
        "    </properties>\n    <testcase classname=\"assay.{}\" name=\"measured\">",
        escape(&check.name)
    ));
    let own: Vec<&str> = findings.iter().filter(|f| f.check == check.check).map(|f| f.message.as_str()).collect();
    if !own.is_empty() {
        xml.push_str(&format!("<system-out>{}</system-out>", escape(&own.join("\n"))));
    }
    xml + "</testcase>\n  </testsuite>\n"
}
