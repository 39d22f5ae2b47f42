//! Waiting for an API server that is only too busy: the storage of a kind that was just installed, a limit of priority
//! and fairness, a restart behind a load balancer.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::{ClusterError, ErrorKind};

/// A server that is busy for longer is as good as one that does not answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Between two questions, if the server does not say how long.
const PAUSE: Duration = Duration::from_secs(1);

/// Asks for something that changes nothing, and again when the server says that it is too busy now, as late as it says.
///
/// # Errors
/// What came of the last question. After 10 s it is not asked again.
pub async fn patiently<T, A>(ask: impl Fn() -> A) -> Result<T, ClusterError>
where
    A: Future<Output = Result<T, ClusterError>>,
{
    let until = Instant::now() + PATIENCE;
    loop {
        let answer = ask().await;
        let Err(ErrorKind::Busy { retry_after }) = answer.as_ref().map_err(|error| &error.kind) else { return answer };
        let pause = retry_after.unwrap_or(PAUSE).max(PAUSE);
        if Instant::now() + pause > until {
            return answer;
        }
        sleep(pause).await;
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    /// A server that is busy for the first so many questions.
    async fn busy_for(questions: u32, retry_after: Option<Duration>) -> (Result<(), ErrorKind>, u32, Duration) {
        let (asked, begun) = (Cell::new(0), Instant::now());
        let ask = || async {
            asked.set(asked.get() + 1);
            if asked.get() > questions { Ok(()) } else { Err(error(ErrorKind::Busy { retry_after })) }
        };
        let answer = patiently(ask).await.map_err(|error| error.kind);
        (answer, asked.get(), begun.elapsed())
    }

    fn error(kind: ErrorKind) -> ClusterError {
        ClusterError { cluster: "hq".parse().unwrap(), object: None, kind }
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_too_busy_is_asked_again_when_it_says_and_not_for_long() {
        let seconds = Duration::from_secs;
        assert_eq!(busy_for(3, None).await, (Ok(()), 4, seconds(3)));
        assert_eq!(busy_for(2, Some(seconds(4))).await, (Ok(()), 3, seconds(8)));
        let busy = |retry_after| Err(ErrorKind::Busy { retry_after });
        assert_eq!(busy_for(u32::MAX, None).await, (busy(None), 11, seconds(10)));
        assert_eq!(busy_for(u32::MAX, Some(seconds(60))).await, (busy(Some(seconds(60))), 1, Duration::ZERO));
    }

    #[tokio::test(start_paused = true)]
    async fn other_answers_are_answers() {
        let asked = Cell::new(0);
        let ask = || async {
            asked.set(asked.get() + 1);
            Err::<(), _>(error(ErrorKind::Unauthorized))
        };
        assert_eq!(patiently(ask).await.unwrap_err().kind, ErrorKind::Unauthorized);
        assert_eq!(asked.get(), 1);
    }
}
