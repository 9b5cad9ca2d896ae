//! A report for a pull request or a wiki.

use crate::api::pb;

use super::output::{called, figure, interval, outcome, short, shown, summary};

/// The report as Markdown tables.
pub(super) fn report(report: &pb::Report) -> String {
    let mut text = String::new();
    if !report.gates.is_empty() {
        text.push_str("| gate | outcome | figures |\n|---|---|---|\n");
        for gate in &report.gates {
            text.push_str(&format!("| {} | **{}** | {} |\n", code(&gate.gate), outcome(gate), cell(&gate.message)));
        }
        text.push('\n');
    }
    text.push_str("| check | metric | value | 95 % interval | n |\n|---|---|--:|--:|--:|\n");
    for check in &report.checks {
        for m in shown(check) {
            let n = m.count.map_or_else(|| m.n.to_string(), |count| format!("{count}/{}", m.n));
            let title = cell(&short(check));
            text.push_str(&format!(
                "| {title} | {} | {} | {} | {n} |\n",
                cell(&called(m)),
                figure(m.value),
                interval(m)
            ));
        }
    }
    if !report.findings.is_empty() {
        text.push_str("\nFindings:\n\n");
        report.findings.iter().for_each(|f| text.push_str(&format!("- {}: {}\n", code(&f.check), f.message)));
    }
    text + &format!("\n{}\n", summary(report))
}

/// Text that cannot end its cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

fn code(text: &str) -> String {
    format!("`{}`", cell(&text.replace('`', "'")))
}
