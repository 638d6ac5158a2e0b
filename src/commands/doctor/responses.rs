//! The answers of a target.

use super::client::{Exchange, ExchangeOutcome};
use crate::commands::client::ClientResponse;
use std::time::SystemTime;

/// Everything that was heard, for the checks that look at any answer.
#[derive(Default)]
pub(super) struct Responses {
    pub(super) answers: Vec<(ClientResponse, SystemTime)>,
}

impl Responses {
    pub(super) fn keep(&mut self, conversation: &Exchange) {
        if let ExchangeOutcome::Answered(answer) = &conversation.outcome {
            self.answers.push((answer.clone(), SystemTime::now()));
        }
    }
}
