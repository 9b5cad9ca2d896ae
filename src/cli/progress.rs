//! Progress on stderr: a bar on a terminal, plain lines elsewhere.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::api::pb;

/// Time between plain lines.
const PAUSE: Duration = Duration::from_secs(5);

/// Shows how far a job is.
pub(super) struct Meter {
    bar: Option<ProgressBar>,
    said: Instant,
}

impl Meter {
    pub(super) fn start() -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(0);
            let template = "{bar:28} {pos}/{len} verdicts  {per_sec}  {elapsed}  ETA {msg}";
            // The template is a constant and sound; the default style would do as well.
            bar.set_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar
        });
        Self { bar, said: Instant::now() }
    }

    pub(super) fn show(&mut self, progress: &pb::Progress) {
        let eta = progress.seconds_left.map_or("?".to_owned(), |s| format!("{s:.0}s"));
        let (done, total) = (progress.verdicts_done, progress.verdicts_total);
        if let Some(bar) = &self.bar {
            bar.set_length(total);
            bar.set_position(done);
            bar.set_message(eta);
        } else if self.said.elapsed() >= PAUSE {
            self.said = Instant::now();
            eprintln!("{done}/{total} verdicts, ETA {eta}");
        }
    }

    pub(super) fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
