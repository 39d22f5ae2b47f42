//! What is told of a panic: where it was, in one line, and nothing that was put together at run time. That may hold
//! whatever somebody was at work on, a secret too.

use std::io::Write as _;
use std::panic::PanicHookInfo;

use crate::cli::LogFormat;

/// From now on panics are told so, on stderr, whatever is logged otherwise.
pub(crate) fn install(format: LogFormat) {
    std::panic::set_hook(Box::new(hook(format, |line| {
        // Whoever has closed stderr does not want to know.
        let _ = writeln!(std::io::stderr().lock(), "{line}");
    })));
}

fn hook(format: LogFormat, tell: impl Fn(String)) -> impl Fn(&PanicHookInfo<'_>) {
    move |info| {
        let place = info.location().map_or_else(|| "a place unknown".to_owned(), ToString::to_string);
        // What stands in the program's text holds nothing of anybody.
        let said = info.payload().downcast_ref::<&'static str>().copied().unwrap_or("what it said is not shown");
        tell(line(format, &place, said));
    }
}

fn line(format: LogFormat, place: &str, said: &str) -> String {
    let message = "a panic, which is a bug of jitsictl";
    let now = jiff::Timestamp::now();
    match format {
        LogFormat::Text => format!("{now:.6} ERROR jitsictl: {message} place={place:?} said={said:?}"),
        LogFormat::Json => {
            let line = serde_json::json!({
                "timestamp": format!("{now:.6}"), "level": "ERROR", "target": "jitsictl",
                "message": message, "place": place, "said": said,
            });
            line.to_string()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{catch_unwind, set_hook, take_hook};
    use std::sync::{Arc, Mutex};

    use super::*;

    /// What is told while this runs. Other tests may panic at the same time, elsewhere.
    fn told(format: LogFormat, work: impl FnOnce() + std::panic::UnwindSafe) -> String {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let told = Arc::clone(&lines);
        let before = take_hook();
        set_hook(Box::new(hook(format, move |line| told.lock().unwrap().push(line))));
        let ended = catch_unwind(work);
        set_hook(before);
        assert!(ended.is_err());
        let lines = lines.lock().unwrap().iter().filter(|line| line.contains("panics.rs")).cloned().collect::<Vec<_>>();
        assert_eq!(lines.len(), 1, "{lines:?}");
        lines[0].clone()
    }

    #[test]
    #[allow(clippy::panic, reason = "it is what the test is about")]
    fn where_it_was_is_told_and_no_value() {
        for format in [LogFormat::Text, LogFormat::Json] {
            let secret = "sesame".to_owned();
            let line = told(format, move || panic!("what is {secret} doing here?"));
            assert!(line.contains("what it said is not shown") && !line.contains("sesame"), "{line}");
            let wrong = "no number".parse::<u8>().map_err(|_| "sesame");
            let line = told(format, move || {
                wrong.unwrap();
            });
            assert!(!line.contains("sesame") && !line.contains('\n'), "{line}");
            let line = told(format, || panic!("it can't be"));
            assert!(line.contains("it can't be"), "{line}");
            if format == LogFormat::Json {
                let line: serde_json::Value = serde_json::from_str(&line).unwrap();
                assert!(line["level"] == "ERROR" && line["place"].as_str().unwrap().contains("panics.rs:"));
            }
        }
    }
}
