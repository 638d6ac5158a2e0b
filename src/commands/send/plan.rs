//! What is sent, one after the other, and what counts as accepted.

use super::arguments::{Authorship, ChallengeSecret, Seed, What};
use super::outcome::Ending;
use crate::auth::secret::Secret;
use crate::commands::client::{
    Answer, Author, CHALLENGE_LIMIT, EVERY_NOTICE, Notice, Place, Request, mistake,
};
use crate::config::{read_secret_file, read_secret_variable};
use bytes::Bytes;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::time::Duration;

/// Bytes of a file: it is kept in memory.
const MAX_FILE: u64 = 64 << 20;

/// What is sent.
pub(super) struct Plan {
    pub(super) kind: &'static str,
    /// Whether all requests are the first.
    same: bool,
    content: Content,
}

enum Content {
    Challenges(Challenges),
    /// In turn.
    Notices {
        author: Author,
        notices: Vec<Notice>,
    },
    File(Bytes),
}

struct Challenges {
    secret: Secret,
    /// The same every time, if it is given.
    token: Option<String>,
    author: Author,
}

impl Plan {
    /// That of `what`, unless it sends nothing.
    ///
    /// # Errors
    /// Says what is wrong with a file or a variable.
    pub(super) fn new(what: &What) -> Result<Option<Self>, String> {
        let notices = |author, notices| Content::Notices { author, notices };
        let (kind, content) = match what {
            What::Challenge {
                secret,
                token,
                seed,
                ..
            } => {
                let (secret, token, author) = (read_secret(secret)?, token.clone(), anybody(seed));
                (
                    "challenge",
                    Content::Challenges(Challenges {
                        secret,
                        token,
                        author,
                    }),
                )
            }
            What::Alert {
                severity,
                shape,
                author,
                active_alerts,
                seed,
                ..
            } => {
                let author = Author {
                    active_alerts: *active_alerts,
                    ..somebody(author, seed)
                };
                (
                    "alert",
                    notices(
                        author,
                        vec![Notice::Alert {
                            shape: shape.shape,
                            severity: *severity,
                        }],
                    ),
                )
            }
            What::Reachability {
                status,
                shape,
                author,
                seed,
                ..
            } => {
                let notice = Notice::Reachability {
                    shape: shape.shape,
                    reachable: *status,
                };
                (
                    "reachability",
                    notices(somebody(author, seed), vec![notice]),
                )
            }
            What::Test { seed, .. } => ("test", notices(anybody(seed), vec![Notice::Test])),
            What::All { author, seed, .. } => (
                "all",
                notices(somebody(author, seed), EVERY_NOTICE.to_vec()),
            ),
            What::File { file, .. } => ("file", Content::File(read(file)?)),
            What::Certificate { .. } => return Ok(None),
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
    pub(super) fn check(&self, place: &Place) -> Result<(), String> {
        let query = place.path.split_once('?').map_or("", |(_, query)| query);
        let has_token = query
            .split('&')
            .any(|pair| pair.split('=').next() == Some("crc_token"));
        match &self.content {
            Content::Challenges(_) if has_token => Err(
                "the URL has a crc_token: leave it out, and give it with --token, decoded".into(),
            ),
            _ => Ok(()),
        }
    }

    /// Whether it is what is in a file.
    pub(super) fn is_file(&self) -> bool {
        matches!(self.content, Content::File(_))
    }

    /// How many requests it takes to have sent everything once.
    pub(super) fn round(&self) -> u64 {
        match &self.content {
            Content::Notices { notices, .. } => notices.len() as u64,
            Content::Challenges(_) | Content::File(_) => 1,
        }
    }

    /// What sends the same again, if anything is left to chance.
    pub(super) fn seed(&self) -> Option<u64> {
        match &self.content {
            Content::Challenges(Challenges { token: Some(_), .. }) | Content::File(_) => None,
            Content::Challenges(Challenges { author, .. }) | Content::Notices { author, .. } => {
                Some(author.seed)
            }
        }
    }

    /// The token of the `index`th request, if that is a Test notification.
    pub(super) fn test_token(&self, index: u64) -> Option<String> {
        let index = self.effective(index);
        match &self.content {
            Content::Notices { author, notices } if notices[self.turn(index)] == Notice::Test => {
                Some(author.test_token(index))
            }
            _ => None,
        }
    }

    /// The `index`th request.
    pub(super) fn request(&self, place: &Place, index: u64) -> Request {
        let index = self.effective(index);
        match &self.content {
            Content::Challenges(challenges) => {
                Request::challenge(place, &challenges.crc_token(index))
            }
            Content::Notices { author, notices } => {
                Request::post(place, author.write(notices[self.turn(index)], index).into())
            }
            Content::File(body) => Request::post(place, body.clone()),
        }
    }

    /// How the `index`th request ended that was answered after `took`.
    pub(super) fn judge(&self, index: u64, answer: &Answer, took: Duration) -> Ending {
        match &self.content {
            Content::Challenges(challenges) => {
                challenges.judge(self.effective(index), answer, took)
            }
            Content::Notices { .. } | Content::File(_) => Ending::answered(answer),
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

impl Challenges {
    fn crc_token(&self, index: u64) -> String {
        self.token
            .clone()
            .unwrap_or_else(|| self.author.crc_token(index))
    }

    fn judge(&self, index: u64, answer: &Answer, took: Duration) -> Ending {
        match answer.status {
            200 => {}
            201..=299 => {
                return Ending::wrong(
                    answer,
                    "the answer is not 200",
                    "answer the challenge with 200 OK",
                );
            }
            _ => return Ending::refused(answer),
        }
        match mistake(&self.secret, &self.crc_token(index), &answer.body) {
            Some((text, remedy)) => Ending::wrong(answer, text, remedy),
            None if took > CHALLENGE_LIMIT => Ending::wrong(
                answer,
                "the answer is right, but took more than 5 s",
                "Netdata Cloud waits for 5 s: answer the challenge before anything slow",
            ),
            None => Ending::accepted(answer),
        }
    }
}

fn read_secret(secret: &ChallengeSecret) -> Result<Secret, String> {
    match (&secret.secret_file, &secret.secret_env) {
        (Some(path), _) => read_secret_file(path),
        (None, Some(name)) => read_secret_variable(name),
        (None, None) => {
            Err("needs the challenge secret: --secret-file FILE or --secret-env VARIABLE".into())
        }
    }
}

fn anybody(seed: &Seed) -> Author {
    // Short enough to be typed again.
    let seed = seed.seed.unwrap_or_else(|| rand::random::<u32>().into());
    Author {
        seed,
        ..Author::default()
    }
}

fn somebody(author: &Authorship, seed: &Seed) -> Author {
    let Authorship {
        space,
        space_id,
        node,
    } = author.clone();
    Author {
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
