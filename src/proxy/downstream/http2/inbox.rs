//! The heads that were read and are waiting until h2 returns their streams.

use super::head::StreamHead;
use h2::Reason;
use std::cmp::Ordering;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

/// The largest number of heads whose streams h2 has not returned yet: the number of concurrent
/// streams. h2 refuses the others.
pub(super) const MAX_STREAMS: usize = 100;

/// The largest number of streams with malformed trailers.
const MAX_BAD_TRAILERS: usize = 100;

/// The heads that have been read and not yet taken, with the state of their connection.
#[derive(Clone, Debug, Default)]
pub(super) struct Inbox(Arc<Mutex<InboxContents>>);

#[derive(Debug, Default)]
struct InboxContents {
    /// The heads by stream, in the order in which h2 returns the streams.
    requests: VecDeque<(u32, StreamHead)>,
    /// The streams with malformed trailers.
    bad_trailers: Vec<u32>,
    /// The reason why the connection cannot continue.
    end: Option<Reason>,
}

impl Inbox {
    /// Adds the head of a request. One that is too much is dropped: h2 refuses its stream.
    pub(super) fn add(&self, stream: u32, head: StreamHead) {
        self.with(|contents| {
            if contents.requests.len() < MAX_STREAMS {
                contents.requests.push_back((stream, head));
            }
        });
    }

    /// Records that the trailers of a stream are malformed.
    pub(super) fn add_bad_trailers(&self, stream: u32) -> Result<(), Reason> {
        self.with(|contents| {
            contents.bad_trailers.push(stream);
            match contents.bad_trailers.len() > MAX_BAD_TRAILERS {
                true => Err(Reason::ENHANCE_YOUR_CALM),
                false => Ok(()),
            }
        })
    }

    /// Records that the connection has to end.
    pub(super) fn end_with(&self, reason: Reason) {
        self.with(|contents| contents.end = Some(reason));
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.with(|contents| contents.requests.len())
    }

    /// Takes the head of a stream that h2 has returned. The streams before it have been refused.
    pub(super) fn take(&self, stream: u32) -> Option<StreamHead> {
        self.with(|contents| {
            while let Some((id, request)) = contents.requests.pop_front() {
                match id.cmp(&stream) {
                    Ordering::Less => {}
                    Ordering::Equal => return Some(request),
                    Ordering::Greater => {
                        contents.requests.push_front((id, request));
                        return None;
                    }
                }
            }
            None
        })
    }

    /// Returns `true` if the trailers of a stream are well-formed, or if it has none.
    pub(super) fn has_good_trailers(&self, stream: u32) -> bool {
        self.with(|contents| {
            let index = contents.bad_trailers.iter().position(|id| *id == stream);
            index
                .map(|index| contents.bad_trailers.swap_remove(index))
                .is_none()
        })
    }

    /// Returns the reason why the connection has to end.
    pub(super) fn end(&self) -> Option<Reason> {
        self.with(|contents| contents.end)
    }

    fn with<T>(&self, act: impl FnOnce(&mut InboxContents) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
