//! The fleet's public URL, seen as people see it: through DNS, the load balancer and TLS.

use std::time::Duration;

use crate::error::{ApiError, Cause, Daemon, excerpt};

/// Fetches a page. A trait of its own, so that a test or a simulated network can answer.
pub trait Fetch {
    /// Gets a page within the deadline.
    fn get(&self, url: &str, deadline: Duration) -> impl Future<Output = Result<Page, Cause>> + Send;
}

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The status code.
    pub status: u16,
    /// The body.
    pub body: Vec<u8>,
}

impl Fetch for reqwest::Client {
    async fn get(&self, url: &str, deadline: Duration) -> Result<Page, Cause> {
        let failed = |error: reqwest::Error| {
            if error.is_timeout() { Cause::Deadline(deadline) } else { Cause::Connection(chain(&error)) }
        };
        let response = reqwest::Client::get(self, url).timeout(deadline).send().await.map_err(failed)?;
        let status = response.status().as_u16();
        Ok(Page { status, body: response.bytes().await.map_err(failed)?.to_vec() })
    }
}

/// Says "certificate expired" and not only "error sending request".
fn chain(error: &dyn std::error::Error) -> String {
    std::iter::successors(Some(error), |error| error.source()).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// Whether the fleet's pages and its signalling come through: asks for the page's settings and for a BOSH greeting.
///
/// # Errors
/// When one of them does not answer as expected.
pub async fn probe(fetch: &impl Fetch, base: &str, deadline: Duration) -> Result<(), ApiError> {
    let base = base.trim_end_matches('/');
    for (path, mark) in [("/config.js", "config"), ("/http-bind", "")] {
        let url = format!("{base}{path}");
        let fail = |cause| ApiError { daemon: Daemon::PublicUrl, request: format!("GET {url}"), cause };
        let page = fetch.get(&url, deadline).await.map_err(fail)?;
        if page.status != 200 {
            return Err(fail(Cause::Status { status: page.status, body: excerpt(&page.body) }));
        }
        if !String::from_utf8_lossy(&page.body).contains(mark) {
            return Err(fail(Cause::content("this is not Jitsi Meet's page", &page.body)));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Site(u16, &'static str);

    impl Fetch for Site {
        async fn get(&self, _: &str, _: Duration) -> Result<Page, Cause> {
            Ok(Page { status: self.0, body: self.1.into() })
        }
    }

    #[tokio::test]
    async fn a_site_that_answers_passes() {
        probe(&Site(200, "var config = {};"), "https://meet.example.org/", Duration::ZERO).await.unwrap();
    }

    #[tokio::test]
    async fn a_foreign_or_failing_site_does_not() {
        let error = probe(&Site(200, "Welcome to nginx"), "https://x", Duration::ZERO).await.unwrap_err();
        assert!(error.to_string().contains("GET https://x/config.js"), "{error}");
        let error = probe(&Site(503, "no shard"), "https://x", Duration::ZERO).await.unwrap_err();
        assert!(error.to_string().contains("status 503, with `no shard`"), "{error}");
    }
}
