//! The answers of a target.

use super::client::{Conversation, Outcome};
use crate::commands::client::Answer;
use std::time::SystemTime;

/// Everything that was heard, for the checks that look at any answer.
#[derive(Default)]
pub(super) struct Heard {
    pub(super) answers: Vec<(Answer, SystemTime)>,
}

impl Heard {
    pub(super) fn keep(&mut self, conversation: &Conversation) {
        if let Outcome::Answered(answer) = &conversation.outcome {
            self.answers.push((answer.clone(), SystemTime::now()));
        }
    }
}
