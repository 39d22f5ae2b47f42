//! The timeline as a drawing: an SVG that needs nothing from elsewhere.

use std::fmt::Write as _;

use super::{
    Moment, Report,
    report::{moment, span},
};
use crate::print::number;

const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 320.0;
/// Left, right, top and bottom of the field.
const FIELD: (f64, f64, f64, f64) = (56.0, 904.0, 16.0, 252.0);
/// Where the strip of steps runs.
const STRIP: f64 = 286.0;

/// Draws it.
pub(super) fn chart(report: &Report) -> String {
    let Some(scale) = Scale::of(&report.timeline) else { return String::new() };
    let mut svg = format!(
        "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"Participants, conferences, draining bridges \
         and steps over time\">\n"
    );
    scale.grid(&mut svg);
    let moments = &report.timeline;
    let (left, _, _, bottom) = FIELD;
    let participants = scale.line(moments, |moment| scale.left(moment.participants));
    let first = moments.first().map_or(left, |moment| scale.x(moment.at));
    let last = moments.last().map_or(left, |moment| scale.x(moment.at));
    let _ = writeln!(
        svg,
        "<path class=\"area\" d=\"M{first:.1},{bottom} L{} L{last:.1},{bottom} Z\"/>",
        participants.join(" ")
    );
    let mut path = |class: &str, points: Vec<String>| {
        let _ = writeln!(svg, "<polyline class=\"{class}\" points=\"{}\"/>", points.join(" "));
    };
    path("participants", participants);
    path("conferences", scale.line(moments, |moment| scale.left(moment.conferences)));
    path("draining", scale.line(moments, |moment| scale.right(moment.draining)));
    scale.steps(&mut svg, report);
    svg.push_str("</svg>\n");
    svg
}

/// From seconds and counts to places.
struct Scale {
    from: i64,
    to: i64,
    most: u64,
    most_draining: u64,
}

impl Scale {
    fn of(moments: &[Moment]) -> Option<Self> {
        let (from, to) = (moments.first()?.at, moments.last()?.at);
        let most = moments.iter().map(|moment| moment.participants.max(moment.conferences)).max()?;
        let most_draining = moments.iter().map(|moment| moment.draining).max()?.max(1);
        Some(Self { from, to: to.max(from + 1), most: round_up(most), most_draining })
    }

    fn x(&self, at: i64) -> f64 {
        let (left, right, _, _) = FIELD;
        left + (right - left) * (at - self.from) as f64 / (self.to - self.from) as f64
    }

    fn y(part: f64) -> f64 {
        let (_, _, top, bottom) = FIELD;
        bottom - (bottom - top) * part
    }

    fn left(&self, value: u64) -> f64 {
        Self::y(value as f64 / self.most as f64)
    }

    /// Draining bridges take the lower third: they are few, and have an axis of their own.
    fn right(&self, value: u64) -> f64 {
        Self::y(value as f64 / self.most_draining as f64 / 3.0)
    }

    fn line(&self, moments: &[Moment], y: impl Fn(&Moment) -> f64) -> Vec<String> {
        moments.iter().map(|moment| format!("{:.1},{:.1}", self.x(moment.at), y(moment))).collect()
    }

    fn grid(&self, svg: &mut String) {
        let (left, right, top, bottom) = FIELD;
        for part in 0..=4 {
            let (value, y) = (self.most * part / 4, Self::y(part as f64 / 4.0));
            let _ = writeln!(svg, "<path class=\"grid\" d=\"M{left},{y:.1} H{right}\"/>");
            let _ =
                writeln!(svg, "<text x=\"{}\" y=\"{:.1}\" class=\"end\">{}</text>", left - 8.0, y + 4.0, number(value));
        }
        let _ = writeln!(
            svg,
            "<text x=\"{}\" y=\"{:.1}\" class=\"of-draining\">{} draining</text>",
            right + 6.0,
            self.right(self.most_draining) + 4.0,
            self.most_draining
        );
        let step = tick(self.to - self.from);
        let mut at = self.from.div_euclid(step) * step;
        while at <= self.to {
            if at >= self.from {
                let x = self.x(at);
                let _ = writeln!(svg, "<path class=\"grid\" d=\"M{x:.1},{bottom} V{}\"/>", bottom + 5.0);
                let label = match at.signum() {
                    -1 => format!("-{}", span(at.unsigned_abs())),
                    0 => "change".to_owned(),
                    _ => format!("+{}", span(at.unsigned_abs())),
                };
                let _ = writeln!(svg, "<text x=\"{x:.1}\" y=\"{}\" class=\"middle\">{label}</text>", bottom + 20.0);
            }
            at += step;
        }
        if self.from <= 0 && self.to >= 0 {
            let _ = writeln!(svg, "<path class=\"begin\" d=\"M{:.1},{top} V{bottom}\"/>", self.x(0));
        }
    }

    /// A mark for each step, with what it was where one points at it.
    fn steps(&self, svg: &mut String, report: &Report) {
        for step in report.steps.iter().filter(|step| (self.from..=self.to).contains(&step.at)) {
            let title = format!("{} {}: {} {}", moment(step.at), step.cluster, step.verb, step.what);
            let _ = writeln!(
                svg,
                "<circle class=\"step {}\" cx=\"{:.1}\" cy=\"{STRIP}\" r=\"4\"><title>{}</title></circle>",
                escape(&step.verb),
                self.x(step.at),
                escape(&title)
            );
        }
    }
}

/// The next round number that is not smaller.
fn round_up(value: u64) -> u64 {
    let mut unit = 1u64;
    loop {
        for factor in [1, 2, 4, 10] {
            if let Some(round) = unit.checked_mul(factor).filter(|round| *round >= value.max(4)) {
                return round;
            }
        }
        unit = match unit.checked_mul(10) {
            Some(next) => next,
            None => return value,
        };
    }
}

/// Seconds between two marks on the axis of time: at most ten of them.
fn tick(length: i64) -> i64 {
    let minutes = [1, 5, 10, 15, 30, 60, 120, 180, 360, 720, 1440];
    minutes.into_iter().map(|minutes| minutes * 60).find(|step| length / step <= 10).unwrap_or(length.max(1))
}

/// Text as it may stand in HTML and SVG.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_end_at_round_numbers() {
        for (value, round) in [(0, 4), (4, 4), (5, 10), (11, 20), (1304, 2000), (4001, 10_000)] {
            assert_eq!(round_up(value), round);
        }
        assert_eq!(round_up(u64::MAX), u64::MAX);
        assert_eq!(tick(8 * 3600), 3600);
        assert_eq!(tick(300), 60);
        assert_eq!(tick(7 * 86400), 86400);
    }

    #[test]
    fn what_people_wrote_stays_text() {
        assert_eq!(escape("<a & 'b'>\""), "&lt;a &amp; &#39;b&#39;&gt;&quot;");
    }
}
