//! SendCommand is sent, one after the other, and what counts as accepted.

use super::arguments::{ChallengeSecretOptions, GeneratorOptions, SeedOption, SendCommand};
use super::outcome::RequestOutcome;
use crate::auth::secret::Secret;
use crate::commands::client::{
    CHALLENGE_LIMIT, ClientRequest, ClientResponse, EVERY_NOTIFICATION, Generator,
    NotificationSpec, WebhookTarget, mistake,
};
use crate::config::{read_secret_file, read_secret_variable};
use bytes::Bytes;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::time::Duration;

/// Bytes of a file: it is kept in memory.
const MAX_FILE: u64 = 64 << 20;

/// SendCommand is sent.
pub(super) struct SendPlan {
    pub(super) kind: &'static str,
    /// Whether all requests are the first.
    same: bool,
    content: Payload,
}

enum Payload {
    ChallengePlan(ChallengePlan),
    /// In turn.
    Notices {
        author: Generator,
        notices: Vec<NotificationSpec>,
    },
    File(Bytes),
}

struct ChallengePlan {
    secret: Secret,
    /// The same every time, if it is given.
    token: Option<String>,
    author: Generator,
}

impl SendPlan {
    /// That of `what`, unless it sends nothing.
    ///
    /// # Errors
    /// Says what is wrong with a file or a variable.
    pub(super) fn new(what: &SendCommand) -> Result<Option<Self>, String> {
        let notices = |author, notices| Payload::Notices { author, notices };
        let (kind, content) = match what {
            SendCommand::Challenge {
                secret,
                token,
                seed,
                ..
            } => {
                let (secret, token, author) = (read_secret(secret)?, token.clone(), anybody(seed));
                (
                    "challenge",
                    Payload::ChallengePlan(ChallengePlan {
                        secret,
                        token,
                        author,
                    }),
                )
            }
            SendCommand::Alert {
                severity,
                shape,
                author,
                active_alerts,
                seed,
                ..
            } => {
                let author = Generator {
                    active_alerts: *active_alerts,
                    ..somebody(author, seed)
                };
                (
                    "alert",
                    notices(
                        author,
                        vec![NotificationSpec::Alert {
                            shape: shape.shape,
                            severity: *severity,
                        }],
                    ),
                )
            }
            SendCommand::Reachability {
                status,
                shape,
                author,
                seed,
                ..
            } => {
                let notice = NotificationSpec::Reachability {
                    shape: shape.shape,
                    reachable: *status,
                };
                (
                    "reachability",
                    notices(somebody(author, seed), vec![notice]),
                )
            }
            SendCommand::Test { seed, .. } => {
                ("test", notices(anybody(seed), vec![NotificationSpec::Test]))
            }
            SendCommand::All { author, seed, .. } => (
                "all",
                notices(somebody(author, seed), EVERY_NOTIFICATION.to_vec()),
            ),
            SendCommand::File { file, .. } => ("file", Payload::File(read(file)?)),
            SendCommand::Certificate { .. } => return Ok(None),
        };
        let same = what.delivery().is_some_and(|delivery| delivery.same);
        Ok(Some(Self {
            kind,
            same,
            content,
        }))
    }

    /// Whether it can be sent to `place`.
    ///
    /// # Errors
    /// Says what is wrong with its URL.
    pub(super) fn check(&self, place: &WebhookTarget) -> Result<(), String> {
        let query = place.path.split_once('?').map_or("", |(_, query)| query);
        let has_token = query
            .split('&')
            .any(|pair| pair.split('=').next() == Some("crc_token"));
        match &self.content {
            Payload::ChallengePlan(_) if has_token => Err(
                "the URL has a crc_token: leave it out, and give it with --token, decoded".into(),
            ),
            _ => Ok(()),
        }
    }

    /// Whether it is what is in a file.
    pub(super) fn is_file(&self) -> bool {
        matches!(self.content, Payload::File(_))
    }

    /// How many requests it takes to have sent everything once.
    pub(super) fn round(&self) -> u64 {
        match &self.content {
            Payload::Notices { notices, .. } => notices.len() as u64,
            Payload::ChallengePlan(_) | Payload::File(_) => 1,
        }
    }

    /// SendCommand sends the same again, if anything is left to chance.
    pub(super) fn seed(&self) -> Option<u64> {
        match &self.content {
            Payload::ChallengePlan(ChallengePlan { token: Some(_), .. }) | Payload::File(_) => None,
            Payload::ChallengePlan(ChallengePlan { author, .. })
            | Payload::Notices { author, .. } => Some(author.seed),
        }
    }

    /// The token of the `index`th request, if that is a Test notification.
    pub(super) fn test_token(&self, index: u64) -> Option<String> {
        let index = self.effective(index);
        match &self.content {
            Payload::Notices { author, notices }
                if notices[self.turn(index)] == NotificationSpec::Test =>
            {
                Some(author.test_token(index))
            }
            _ => None,
        }
    }

    /// The `index`th request.
    pub(super) fn request(&self, place: &WebhookTarget, index: u64) -> ClientRequest {
        let index = self.effective(index);
        match &self.content {
            Payload::ChallengePlan(challenges) => {
                ClientRequest::challenge(place, &challenges.crc_token(index))
            }
            Payload::Notices { author, notices } => {
                ClientRequest::post(place, author.write(notices[self.turn(index)], index).into())
            }
            Payload::File(body) => ClientRequest::post(place, body.clone()),
        }
    }

    /// How the `index`th request ended that was answered after `took`.
    pub(super) fn judge(
        &self,
        index: u64,
        answer: &ClientResponse,
        took: Duration,
    ) -> RequestOutcome {
        match &self.content {
            Payload::ChallengePlan(challenges) => {
                challenges.judge(self.effective(index), answer, took)
            }
            Payload::Notices { .. } | Payload::File(_) => RequestOutcome::answered(answer),
        }
    }

    /// Which of the notices is the `index`th.
    fn turn(&self, index: u64) -> usize {
        usize::try_from(index % self.round()).unwrap_or_default()
    }

    fn effective(&self, index: u64) -> u64 {
        if self.same { 0 } else { index }
    }
}

impl ChallengePlan {
    fn crc_token(&self, index: u64) -> String {
        self.token
            .clone()
            .unwrap_or_else(|| self.author.crc_token(index))
    }

    fn judge(&self, index: u64, answer: &ClientResponse, took: Duration) -> RequestOutcome {
        match answer.status {
            200 => {}
            201..=299 => {
                return RequestOutcome::wrong(
                    answer,
                    "the answer is not 200",
                    "answer the challenge with 200 OK",
                );
            }
            _ => return RequestOutcome::refused(answer),
        }
        match mistake(&self.secret, &self.crc_token(index), &answer.body) {
            Some((text, remedy)) => RequestOutcome::wrong(answer, text, remedy),
            None if took > CHALLENGE_LIMIT => RequestOutcome::wrong(
                answer,
                "the answer is right, but took more than 5 s",
                "Netdata Cloud waits for 5 s: answer the challenge before anything slow",
            ),
            None => RequestOutcome::accepted(answer),
        }
    }
}

fn read_secret(secret: &ChallengeSecretOptions) -> Result<Secret, String> {
    match (&secret.secret_file, &secret.secret_env) {
        (Some(path), _) => read_secret_file(path),
        (None, Some(name)) => read_secret_variable(name),
        (None, None) => {
            Err("needs the challenge secret: --secret-file FILE or --secret-env VARIABLE".into())
        }
    }
}

fn anybody(seed: &SeedOption) -> Generator {
    // Short enough to be typed again.
    let seed = seed.seed.unwrap_or_else(|| rand::random::<u32>().into());
    Generator {
        seed,
        ..Generator::default()
    }
}

fn somebody(author: &GeneratorOptions, seed: &SeedOption) -> Generator {
    let GeneratorOptions {
        space,
        space_id,
        node,
    } = author.clone();
    Generator {
        space,
        space_id,
        node,
        ..anybody(seed)
    }
}

fn read(path: &Path) -> Result<Bytes, String> {
    let explain = |error: io::Error| format!("cannot read {}: {error}", path.display());
    let mut bytes = Vec::new();
    let mut read = |source: &mut dyn Read| {
        source
            .take(MAX_FILE + 1)
            .read_to_end(&mut bytes)
            .map_err(explain)
    };
    match path == Path::new("-") {
        true => read(&mut io::stdin().lock())?,
        false => read(&mut File::open(path).map_err(explain)?)?,
    };
    match bytes.len() as u64 > MAX_FILE {
        true => Err(format!(
            "{} has more than {} MiB, which nobody accepts",
            path.display(),
            MAX_FILE >> 20
        )),
        false => Ok(bytes.into()),
    }
}
