//! Connections that can be cut, or fall silent.

use std::{
    collections::BTreeMap,
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    task::{Context, Poll, Waker},
};

use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};

/// The client's end of a connection.
#[derive(Debug)]
pub(crate) struct Link {
    stream: DuplexStream,
    line: Arc<Line>,
}

/// How a connection is doing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Mode {
    #[default]
    Open,
    /// Nothing arrives any more, and what is sent is lost.
    Silent,
    Cut,
}

#[derive(Debug, Default)]
pub(super) struct Line(Mutex<(Mode, Option<Waker>)>);

impl Line {
    fn lock(&self) -> MutexGuard<'_, (Mode, Option<Waker>)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn become_(&self, mode: Mode) {
        let waker = {
            let mut line = self.lock();
            line.0 = mode;
            line.1.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// All connections of one client to one server.
#[derive(Debug, Default)]
pub(super) struct Links {
    lines: Mutex<Vec<Weak<Line>>>,
    /// Answers that will not arrive, by request.
    owed: Mutex<BTreeMap<String, u32>>,
}

impl Links {
    pub(super) fn add(&self, stream: DuplexStream) -> Link {
        let line = Arc::new(Line::default());
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.retain(|line| line.strong_count() > 0);
        lines.push(Arc::downgrade(&line));
        Link { stream, line }
    }

    fn all(&self, of: impl Fn(Mode) -> bool) -> Vec<Arc<Line>> {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().filter_map(Weak::upgrade).filter(|line| of(line.lock().0)).collect()
    }

    fn turn(&self, of: impl Fn(Mode) -> bool, into: Mode) -> u64 {
        let lines = self.all(of);
        for line in &lines {
            line.become_(into);
        }
        lines.len() as u64
    }

    /// How many there are.
    pub(super) fn open(&self) -> usize {
        self.all(|mode| mode != Mode::Cut).len()
    }

    /// Cuts all; says how many there were.
    pub(super) fn cut(&self) -> u64 {
        self.turn(|mode| mode != Mode::Cut, Mode::Cut)
    }

    /// Cuts those that fell silent.
    pub(super) fn cut_silent(&self) -> u64 {
        self.turn(|mode| mode == Mode::Silent, Mode::Cut)
    }

    /// Silences all; says how many there were.
    pub(super) fn silence(&self) -> u64 {
        self.turn(|mode| mode == Mode::Open, Mode::Silent)
    }

    /// The answer to this request will not arrive.
    pub(super) fn owe_reset(&self, request: &api_server::http::RequestLine) {
        let mut owed = self.owed.lock().unwrap_or_else(PoisonError::into_inner);
        *owed.entry(key(request)).or_default() += 1;
    }

    /// Whether that was said of this one.
    pub(super) fn reset_is_owed(&self, request: &api_server::http::RequestLine) -> bool {
        let mut owed = self.owed.lock().unwrap_or_else(PoisonError::into_inner);
        match owed.get_mut(&key(request)) {
            Some(count) if *count > 0 => {
                *count -= 1;
                true
            }
            _ => false,
        }
    }
}

fn key(request: &api_server::http::RequestLine) -> String {
    format!("{} {}", request.method, request.uri)
}

impl AsyncRead for Link {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        {
            let mut line = self.line.lock();
            match line.0 {
                Mode::Cut => return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
                Mode::Silent => {
                    line.1 = Some(context.waker().clone());
                    return Poll::Pending;
                }
                Mode::Open => line.1 = Some(context.waker().clone()),
            }
        }
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Link {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.line.lock().0 {
            Mode::Cut => return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
            Mode::Silent => return Poll::Ready(Ok(bytes.len())),
            Mode::Open => {}
        }
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_silent_line_says_nothing_until_it_is_cut() {
        let links = Links::default();
        let (ours, mut theirs) = tokio::io::duplex(64);
        let mut link = links.add(ours);
        theirs.write_all(b"a").await.unwrap();
        assert_eq!(link.read_u8().await.unwrap(), b'a');
        assert_eq!((links.silence(), links.silence()), (1, 0));
        theirs.write_all(b"b").await.unwrap();
        link.write_all(b"lost").await.unwrap();
        let silent = tokio::time::timeout(Duration::from_secs(3600), link.read_u8()).await;
        assert!(silent.is_err());
        assert_eq!(links.cut_silent(), 1);
        assert_eq!(link.read_u8().await.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
        drop(link);
        assert_eq!(links.cut(), 0);
    }
}
