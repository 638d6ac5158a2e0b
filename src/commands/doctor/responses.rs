//! The responses of a target.

use super::client::{Exchange, ExchangeOutcome};
use crate::commands::client::ClientResponse;
use std::time::SystemTime;

/// All responses of a target, for the checks of any response.
#[derive(Default)]
pub(super) struct Responses {
    pub(super) all: Vec<(ClientResponse, SystemTime)>,
}

impl Responses {
    pub(super) fn record(&mut self, exchange: &Exchange) {
        if let ExchangeOutcome::Answered(answer) = &exchange.outcome {
            self.all.push((answer.clone(), SystemTime::now()));
        }
    }
}
