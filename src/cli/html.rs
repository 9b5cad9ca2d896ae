//! A job's page: one file without external loads.

use std::collections::BTreeSet;
use std::fmt::Write;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use super::artifacts::{Picture, Pictures};
use super::audits::Plot;
use super::output::{figure, interval, outcome, title};
use super::plot::{Curve, Dot, accuracy};
use crate::api::pb;

const STYLE: &str = "
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #222; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2rem; }
table { border-collapse: collapse; } td, th { padding: .2rem .7rem; text-align: left; border-bottom: 1px solid #e4e4e4; }
td.number, th.number { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }
.PASS, .held { color: #00714f; } .FAIL, .broken, .failed { color: #b03a00; } .INCONCLUSIVE { color: #8a6d00; }
svg { max-width: 44rem; width: 100%; height: auto; } .accuracy text { font-size: 12px; fill: #444; }
.grid { stroke: #e4e4e4; } .clean { stroke: #555; stroke-dasharray: 5 4; } .band { fill: #555; opacity: .1; }
.pictures td { text-align: center; border: 0; font-size: .8rem; padding: .3rem; }
.pictures img { width: 92px; height: 92px; object-fit: contain; image-rendering: auto; display: block; }
.pictures img.small { image-rendering: pixelated; }
.plots tr { display: inline-block; vertical-align: top; width: 29rem; max-width: 100%; } .plots td { display: block; }
footer { margin-top: 3rem; color: #777; font-size: .85rem; }
";

/// Text that cannot become markup.
pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// The page of a finished job; `shown` are the verdicts of the first cases, whose pictures are given.
pub(super) fn page(
    job: &pb::Job,
    report: &pb::Report,
    shown: &[pb::Verdict],
    pictures: &Pictures,
    plots: &[Plot],
) -> String {
    let spec = job.spec.clone().unwrap_or_default();
    let mut html = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <title>assay report</title><style>{STYLE}</style><h1>assay report</h1>"
    );
    gates(&mut html, report);
    let curves = curves(report);
    if !curves.is_empty() {
        html.push_str("<h2>Accuracy by severity</h2><p>Bars and the band are 95 % intervals.</p>");
        html.push_str(&accuracy(&curves, clean(report).as_ref()));
    }
    metrics(&mut html, report);
    for (index, check) in spec.checks.iter().enumerate() {
        let index = u32::try_from(index).unwrap_or(u32::MAX);
        audited(&mut html, index, check, plots);
        gallery(&mut html, index, check, shown, pictures);
        sayings(&mut html, index, check, shown);
    }
    // Writing to a String cannot fail, here and below.
    let _ = write!(
        html,
        "<footer>Job {}, seed {}, assay {}. The same model, cases, checks and seed give the same figures.</footer></html>",
        escape(&job.name),
        spec.seed,
        env!("CARGO_PKG_VERSION")
    );
    html
}

fn gates(html: &mut String, report: &pb::Report) {
    if report.gates.is_empty() {
        return;
    }
    html.push_str("<h2>Gates</h2><table>");
    for gate in &report.gates {
        let (outcome, text, message) = (outcome(gate), escape(&gate.gate), escape(&gate.message));
        let _ = write!(html, "<tr><td class=\"{outcome}\"><b>{outcome}</b><td>{text}<td>{message}");
    }
    html.push_str("</table>");
}

fn metrics(html: &mut String, report: &pb::Report) {
    html.push_str("<h2>Metrics</h2><table><tr><th>check<th>metric<th class=\"number\">value<th class=\"number\">95 % interval<th class=\"number\">n");
    for check in &report.checks {
        for m in &check.metrics {
            let count = m.count.map_or_else(|| m.n.to_string(), |count| format!("{count}/{}", m.n));
            let _ = write!(
                html,
                "<tr><td>{}<td>{}<td class=\"number\">{}<td class=\"number\">{}<td class=\"number\">{count}",
                escape(&title(check)),
                escape(&if m.slice.is_empty() { m.name.clone() } else { format!("{} ({})", m.name, m.slice) }),
                figure(m.value),
                interval(m)
            );
        }
    }
    html.push_str("</table>");
}

fn severity(check: &pb::CheckReport) -> Option<f64> {
    match check.params.as_ref()?.fields.get("severity")?.kind.as_ref()? {
        prost_types::value::Kind::NumberValue(severity) => Some(*severity),
        _ => None,
    }
}

fn dot(check: &pb::CheckReport, at: f64) -> Option<Dot> {
    let m = check.metrics.iter().find(|m| matches!(m.name.as_str(), "accuracy" | "robust_accuracy"))?;
    Some(Dot { at, value: m.value, low: m.low, high: m.high })
}

fn clean(report: &pb::Report) -> Option<Dot> {
    report.checks.iter().find(|c| c.name == "clean").and_then(|c| dot(c, 0.0))
}

fn curves(report: &pb::Report) -> Vec<Curve> {
    let mut curves: Vec<Curve> = Vec::new();
    for check in &report.checks {
        let Some(dot) = severity(check).and_then(|s| dot(check, s)) else { continue };
        match curves.iter_mut().find(|c| c.name == check.name) {
            Some(curve) => curve.dots.push(dot),
            None => curves.push(Curve { name: check.name.clone(), dots: vec![dot] }),
        }
    }
    curves.iter_mut().for_each(|c| c.dots.sort_by(|a, b| a.at.total_cmp(&b.at)));
    curves
}

/// What an audit found, as pictures.
fn audited(html: &mut String, index: u32, check: &pb::Check, plots: &[Plot]) {
    let mut own = plots.iter().filter(|plot| plot.check == index).peekable();
    if own.peek().is_some() {
        let _ = write!(html, "<h2>{}</h2><div class=\"plots\">", escape(&check.spec));
        own.for_each(|plot| html.push_str(&plot.svg));
        html.push_str("</div>");
    }
}

/// The first cases under one check: a row a case, clean first; bars, which need more room, without lines of a table.
fn gallery(html: &mut String, index: u32, check: &pb::Check, shown: &[pb::Verdict], pictures: &Pictures) {
    let mut own = pictures.iter().filter(|((of, ..), _)| *of == Some(index)).map(|(_, picture)| picture);
    let Some(first) = own.next() else { return };
    let class = if matches!(first, Picture::Svg(_) | Picture::Html(_)) { "pictures plots" } else { "pictures" };
    let _ = write!(html, "<h2>{}</h2><table class=\"{class}\">", escape(&check.spec));
    let of_case = |(of, case, _): &(Option<u32>, u64, usize)| of.is_none_or(|of| of == index).then_some(*case);
    for case in pictures.keys().filter_map(of_case).collect::<BTreeSet<u64>>() {
        html.push_str("<tr>");
        let own: Vec<&pb::Verdict> = shown.iter().filter(|v| v.case_index == case && v.check_index == index).collect();
        if let (Some(picture), Some(first)) = (pictures.get(&(None, case, 0)), own.first()) {
            let label = first.label.map_or("?".to_owned(), |l| l.to_string());
            cell(html, picture, &format!("clean, label {label}"), "");
        }
        for (point, verdict) in own.iter().enumerate() {
            if let Some(picture) = pictures.get(&(Some(index), case, point)) {
                let class = match verdict.outcome() {
                    pb::Outcome::Held => "held",
                    pb::Outcome::Broken => "broken",
                    _ => "",
                };
                cell(html, picture, &caption(verdict), class);
            }
        }
    }
    html.push_str("</table>");
}

/// Explainers whose verdicts say something in words.
const SAYING: [&str; 2] = ["anchors", "counterfactual"];

/// What is said of the first cases under one check.
fn sayings(html: &mut String, index: u32, check: &pb::Check, shown: &[pb::Verdict]) {
    let said = |v: &&pb::Verdict| v.check_index == index && SAYING.contains(&v.probe.as_str()) && !v.reason.is_empty();
    let own: Vec<&pb::Verdict> = shown.iter().filter(said).collect();
    if own.is_empty() {
        return;
    }
    let _ = write!(html, "<h2>{}, in words</h2><table><tr><th>case<th>what is said of it", escape(&check.spec));
    for verdict in own {
        let _ = write!(html, "<tr><td>{}<td>{}", escape(&verdict.case_id), escape(&verdict.reason));
    }
    html.push_str("</table>");
}

fn caption(verdict: &pb::Verdict) -> String {
    let params: Vec<String> =
        verdict.params.iter().flat_map(crate::api::struct_to_map).map(|(_, v)| v.to_string()).collect();
    let class = |p: f64| if p.fract() == 0.0 { p.to_string() } else { figure(p) };
    let predicted = verdict.predicted.map_or("?".to_owned(), class);
    // Of a severity it is worth a word, not of all settings of a search.
    let said = if matches!(params.len(), 1 | 2) { params.join(", ") } else { "predicted".to_owned() };
    format!("{said}: {predicted}")
}

fn cell(html: &mut String, picture: &Picture, caption: &str, class: &str) {
    let caption = escape(caption);
    let _ = match picture {
        Picture::Png(png) => {
            let (data, small) = (BASE64_STANDARD.encode(png), if png.len() < 4096 { "small" } else { "" });
            write!(
                html,
                "<td class=\"{class}\"><img class=\"{small}\" alt=\"{caption}\" \
                 src=\"data:image/png;base64,{data}\">{caption}"
            )
        }
        Picture::Svg(drawn) | Picture::Html(drawn) => write!(html, "<td class=\"{class}\">{drawn}{caption}"),
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_of_a_check_stand_under_it_with_what_was_predicted() {
        let check = pb::Check { spec: "kernel_shap".to_owned(), ..Default::default() };
        let spec = Some(pb::JobSpec { checks: vec![check.clone(), check], ..Default::default() });
        let outcome = pb::Outcome::Broken.into();
        let verdict =
            pb::Verdict { case_index: 3, check_index: 1, predicted: Some(2.0), outcome, ..Default::default() };
        let pictures = Pictures::from([((Some(1), 3, 0), Picture::Svg("<svg></svg>".to_owned()))]);
        let job = pb::Job { spec, ..Default::default() };
        let html = page(&job, &pb::Report::default(), &[verdict], &pictures, &[]);
        let row = "<h2>kernel_shap</h2><table class=\"pictures plots\"><tr><td class=\"broken\"><svg></svg>predicted: 2</table>";
        assert_eq!(html.matches(row).count(), 1, "{html}");
    }

    #[test]
    fn what_an_explainer_says_stands_on_the_page_as_text() {
        let verdict = |probe: &str, case: &str, reason: &str| pb::Verdict {
            probe: probe.to_owned(),
            case_id: case.to_owned(),
            reason: reason.to_owned(),
            ..pb::Verdict::default()
        };
        let mut html = String::new();
        let check = pb::Check { spec: "anchors".to_owned(), ..pb::Check::default() };
        sayings(&mut html, 0, &check, &[verdict("anchors", "a", "x0 <= 1"), verdict("anchors", "b", "")]);
        assert!(html.contains("<td>a<td>x0 &lt;= 1") && !html.contains("<td>b"), "{html}");
        let mut nothing = String::new();
        sayings(&mut nothing, 0, &check, &[verdict("clean", "a", "no answer is expected")]);
        assert!(nothing.is_empty());
    }
}
