//! The trace that a job belongs to. This floor speaks `tracing` alone; what knows a span's place in a trace beyond this
//! process is plugged in from above, and without it spans are of this process only.

use std::sync::OnceLock;

use serde::{Deserialize, Serialize};
use tracing::Span;

/// A span as W3C Trace Context names it: the headers `traceparent` and `tracestate`; empty for none.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TraceContext {
    pub traceparent: String,
    pub tracestate: String,
}

/// What ties spans of this process to those of others.
pub struct Bridge {
    /// How others name a span.
    pub name: fn(&Span) -> TraceContext,
    /// Makes a span that was just opened the child of another's.
    pub adopt: fn(&Span, &TraceContext),
}

/// One for the process, like the subscriber that it belongs to.
static BRIDGE: OnceLock<Bridge> = OnceLock::new();

impl Bridge {
    /// Plugs it in; the first one stays.
    pub fn install(self) {
        // As with a second subscriber, there is nobody to tell.
        let _ = BRIDGE.set(self);
    }
}

impl TraceContext {
    /// How others name a span; empty where nothing traces.
    pub fn of(span: &Span) -> Self {
        BRIDGE.get().map_or_else(Self::default, |bridge| (bridge.name)(span))
    }

    /// Makes a span that was just opened a child of this one; an empty or torn context leaves it as it is.
    pub fn adopt(&self, span: &Span) {
        if let Some(bridge) = BRIDGE.get()
            && !self.traceparent.is_empty()
        {
            (bridge.adopt)(span, self);
        }
    }
}
