//! The text in which Prometheus reads metrics, version 0.0.4.

use std::fmt::{Display, Write as _};

/// The media type of that text.
pub(super) const TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Before every name.
const PREFIX: &str = "jitsictl_";

/// A page of metrics.
#[derive(Debug, Default)]
pub(super) struct Text(String);

/// What a family of metrics is.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    /// It only grows.
    Counter,
    /// It is what it is now.
    Gauge,
    /// How many were below what.
    Histogram,
}

/// One family of a page: its samples follow its head.
pub(super) struct Family<'a> {
    out: &'a mut String,
    name: &'static str,
}

impl Text {
    /// Begins a family.
    pub(super) fn family(&mut self, kind: Kind, name: &'static str, help: &str) -> Family<'_> {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        let _ = writeln!(self.0, "# HELP {PREFIX}{name} {help}\n# TYPE {PREFIX}{name} {kind}");
        Family { out: &mut self.0, name }
    }

    /// The whole page.
    pub(super) fn into_string(self) -> String {
        self.0
    }
}

impl Family<'_> {
    /// A sample with its labels.
    pub(super) fn sample(&mut self, labels: &[(&str, &dyn Display)], value: impl Display) {
        self.part("", labels, value);
    }

    /// A sample of a histogram, which has a name of its own.
    pub(super) fn part(&mut self, suffix: &str, labels: &[(&str, &dyn Display)], value: impl Display) {
        let _ = write!(self.out, "{PREFIX}{}{suffix}", self.name);
        for (at, (name, value)) in labels.iter().enumerate() {
            let before = if at == 0 { '{' } else { ',' };
            let _ = write!(self.out, "{before}{name}=\"{}\"", escaped(&value.to_string()));
        }
        let end = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(self.out, "{end} {value}");
    }
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_may_hold_anything() {
        let mut text = Text::default();
        let mut family = text.family(Kind::Gauge, "x", "Whatever.");
        family.sample(&[], 1);
        family.sample(&[("a", &"say \"hi\"\n\\o/"), ("b", &2)], 0.5);
        let wanted = "# HELP jitsictl_x Whatever.\n# TYPE jitsictl_x gauge\njitsictl_x 1\n\
                      jitsictl_x{a=\"say \\\"hi\\\"\\n\\\\o/\",b=\"2\"} 0.5\n";
        assert_eq!(text.into_string(), wanted);
    }
}
