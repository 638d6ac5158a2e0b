//! The requests of a run in their order, and the responses that are accepted.

use super::arguments::{
    AlertOptions, ChallengeOptions, ChallengeSecretOptions, GeneratorOptions, ReachabilityOptions,
    SeedOption, SendCommand,
};
use super::exported::ExportedFile;
use super::outcome::RequestOutcome;
use crate::auth::secret::Secret;
use crate::commands::client::{
    CHALLENGE_LIMIT, ClientRequest, ClientResponse, EVERY_NOTIFICATION, Generator, Mistake,
    NotificationSpec, WebhookTarget, mistake,
};
use crate::config::{read_secret_file, read_secret_variable};
use bytes::Bytes;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::time::Duration;

/// Maximum size of a file in bytes: it is kept in memory.
const MAX_FILE: u64 = 64 << 20;

/// The requests of a run.
pub(super) struct SendPlan {
    pub(super) kind: &'static str,
    /// Send the first request every time?
    same: bool,
    payload: Payload,
}

enum Payload {
    Challenges(ChallengePlan),
    Notifications(NotificationPlan),
    File(Bytes),
    Exported(ExportedFile),
}

/// Notifications that are sent in turn.
struct NotificationPlan {
    generator: Generator,
    specs: Vec<NotificationSpec>,
}

struct ChallengePlan {
    secret: Secret,
    /// Token of all challenges, if it is given.
    token: Option<String>,
    generator: Generator,
}

impl SendPlan {
    /// Plans the requests of a command. Returns `None` if it sends none.
    ///
    /// # Errors
    /// The problem with a file or a variable.
    pub(super) fn new(command: &SendCommand) -> Result<Option<Self>, String> {
        let (kind, payload) = match command {
            SendCommand::Challenge(options) => ("challenge", options.payload()?),
            SendCommand::Alert(options) => ("alert", options.payload()),
            SendCommand::Reachability(options) => ("reachability", options.payload()),
            SendCommand::Test { seed, .. } => {
                let spec = NotificationSpec::Test;
                ("test", notifications(generator(seed), &[spec]))
            }
            SendCommand::All {
                generator, seed, ..
            } => {
                let generator = generator.with_seed(seed);
                ("all", notifications(generator, &EVERY_NOTIFICATION))
            }
            SendCommand::File {
                file,
                exported: true,
                ..
            } => ("file", Payload::Exported(ExportedFile::open(file)?)),
            SendCommand::File { file, .. } => ("file", Payload::File(read(file)?)),
            SendCommand::Certificate(_) => return Ok(None),
        };
        Ok(Some(Self {
            kind,
            same: command.delivery().is_some_and(|options| options.same),
            payload,
        }))
    }

    /// Checks that the requests can be sent to `target`.
    ///
    /// # Errors
    /// The problem with the URL.
    pub(super) fn check(&self, target: &WebhookTarget) -> Result<(), String> {
        match &self.payload {
            Payload::Challenges(_) if has_token(&target.path) => {
                Err("the URL has a crc_token: remove it, and give it with --token, decoded".into())
            }
            _ => Ok(()),
        }
    }

    /// Returns `true` if the body comes from a file.
    pub(super) fn is_file(&self) -> bool {
        matches!(self.payload, Payload::File(_))
    }

    /// Returns the number of requests after which everything has been sent once.
    pub(super) fn round(&self) -> u64 {
        match &self.payload {
            Payload::Notifications(plan) => plan.specs.len() as u64,
            Payload::Exported(exported) => exported.count(),
            Payload::Challenges(_) | Payload::File(_) => 1,
        }
    }

    /// Returns the seed with which the same is sent again, if values are derived from it.
    pub(super) fn seed(&self) -> Option<u64> {
        match &self.payload {
            Payload::Challenges(ChallengePlan { token: Some(_), .. })
            | Payload::File(_)
            | Payload::Exported(_) => None,
            Payload::Challenges(ChallengePlan { generator, .. })
            | Payload::Notifications(NotificationPlan { generator, .. }) => Some(generator.seed),
        }
    }

    /// Returns the token of the `index`th request, if that is a Test notification.
    pub(super) fn test_token(&self, index: u64) -> Option<String> {
        let index = self.effective(index);
        match &self.payload {
            Payload::Notifications(plan) => plan.test_token(index),
            _ => None,
        }
    }

    /// Returns the `index`th request.
    ///
    /// # Errors
    /// The reason why it cannot be read any more.
    pub(super) fn request(
        &self,
        target: &WebhookTarget,
        index: u64,
    ) -> Result<ClientRequest, String> {
        let index = self.effective(index);
        Ok(match &self.payload {
            Payload::Exported(exported) => return exported.request(target, index),
            Payload::Challenges(challenges) => {
                ClientRequest::challenge(target, &challenges.crc_token(index))
            }
            Payload::Notifications(plan) => ClientRequest::post(target, plan.body(index)),
            Payload::File(body) => ClientRequest::post(target, body.clone()),
        })
    }

    /// Judges the response to the `index`th request, which arrived after `took`.
    pub(super) fn judge(
        &self,
        index: u64,
        answer: &ClientResponse,
        took: Duration,
    ) -> RequestOutcome {
        match &self.payload {
            Payload::Challenges(challenges) => {
                challenges.judge(self.effective(index), answer, took)
            }
            Payload::Notifications(_) | Payload::File(_) | Payload::Exported(_) => {
                RequestOutcome::answered(answer)
            }
        }
    }

    fn effective(&self, index: u64) -> u64 {
        if self.same { 0 } else { index }
    }
}

impl NotificationPlan {
    fn body(&self, index: u64) -> Bytes {
        self.generator.write(self.spec(index), index).into()
    }

    fn test_token(&self, index: u64) -> Option<String> {
        let is_test = self.spec(index) == NotificationSpec::Test;
        is_test.then(|| self.generator.test_token(index))
    }

    /// Returns which of the notifications the `index`th request sends.
    fn spec(&self, index: u64) -> NotificationSpec {
        // A remainder of the length is an index.
        self.specs[(index % self.specs.len() as u64) as usize]
    }
}

impl ChallengePlan {
    fn crc_token(&self, index: u64) -> String {
        let given = self.token.clone();
        given.unwrap_or_else(|| self.generator.crc_token(index))
    }

    fn judge(&self, index: u64, answer: &ClientResponse, took: Duration) -> RequestOutcome {
        let (text, advice) = match answer.status {
            200 => match self.mistake(index, answer, took) {
                Some(mistake) => mistake,
                None => return RequestOutcome::accepted(answer),
            },
            201..=299 => NOT_200,
            _ => return RequestOutcome::refused(answer),
        };
        RequestOutcome::wrong(answer, text, advice)
    }

    fn mistake(&self, index: u64, answer: &ClientResponse, took: Duration) -> Option<Mistake> {
        let mistake = mistake(&self.secret, &self.crc_token(index), &answer.body);
        mistake.or((took > CHALLENGE_LIMIT).then_some(LATE))
    }
}

const NOT_200: Mistake = (
    "the response is not 200",
    "respond to the challenge with 200 OK",
);

const LATE: Mistake = (
    "the response is right, but took more than 5 s",
    "Netdata Cloud waits for 5 s: respond to the challenge before slow work",
);

fn has_token(path: &str) -> bool {
    let query = path.split_once('?').map_or("", |(_, query)| query);
    let mut names = query.split('&').map(|pair| pair.split('=').next());
    names.any(|name| name == Some("crc_token"))
}

impl ChallengeOptions {
    fn payload(&self) -> Result<Payload, String> {
        Ok(Payload::Challenges(ChallengePlan {
            secret: self.secret.read()?,
            token: self.token.clone(),
            generator: generator(&self.seed),
        }))
    }
}

impl AlertOptions {
    fn payload(&self) -> Payload {
        let spec = NotificationSpec::Alert {
            shape: self.shape.shape,
            severity: self.severity,
        };
        let generator = Generator {
            active_alerts: self.active_alerts,
            ..self.generator.with_seed(&self.seed)
        };
        notifications(generator, &[spec])
    }
}

impl ReachabilityOptions {
    fn payload(&self) -> Payload {
        let spec = NotificationSpec::Reachability {
            shape: self.shape.shape,
            reachable: self.status,
        };
        notifications(self.generator.with_seed(&self.seed), &[spec])
    }
}

impl ChallengeSecretOptions {
    fn read(&self) -> Result<Secret, String> {
        match (&self.secret_file, &self.secret_env) {
            (Some(path), _) => read_secret_file(path),
            (None, Some(name)) => read_secret_variable(name),
            (None, None) => Err(NO_SECRET.into()),
        }
    }
}

const NO_SECRET: &str =
    "the challenge secret is missing: use --secret-file FILE or --secret-env VARIABLE";

fn notifications(generator: Generator, specs: &[NotificationSpec]) -> Payload {
    Payload::Notifications(NotificationPlan {
        generator,
        specs: specs.to_vec(),
    })
}

fn generator(seed: &SeedOption) -> Generator {
    // 32 bits: short enough to be typed.
    let seed = seed.seed.unwrap_or_else(|| rand::random::<u32>().into());
    Generator {
        seed,
        ..Generator::default()
    }
}

impl GeneratorOptions {
    fn with_seed(&self, seed: &SeedOption) -> Generator {
        Generator {
            space: self.space.clone(),
            space_id: self.space_id.clone(),
            node: self.node.clone(),
            ..generator(seed)
        }
    }
}

fn read(path: &Path) -> Result<Bytes, String> {
    let bytes = match path == Path::new("-") {
        true => read_bounded(io::stdin().lock()),
        false => File::open(path).and_then(read_bounded),
    };
    let bytes = bytes.map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    if bytes.len() as u64 > MAX_FILE {
        let (path, mib) = (path.display(), MAX_FILE >> 20);
        return Err(format!(
            "{path} has more than {mib} MiB, which no webhook accepts"
        ));
    }
    Ok(bytes.into())
}

/// Reads up to one byte more than a file may have.
fn read_bounded(source: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    source.take(MAX_FILE + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::super::outcome::RequestStatus;
    use super::*;

    #[test]
    fn a_right_answer_that_netdata_cloud_would_not_wait_for_is_wrong() {
        let plan = ChallengePlan {
            secret: Secret::new(b"YOUR_CHALLENGE_SECRET".to_vec()),
            token: Some("abc".into()),
            generator: Generator::default(),
        };
        let answer = ClientResponse {
            status: 200,
            body: "{\"response_token\":\"sha256=igirIzhbd6iobXEwWgppO5ngqEUUC/mDt+r/dfCbeGk=\"}"
                .into(),
            ..ClientResponse::default()
        };
        let judge = |took| plan.judge(0, &answer, took).reason;
        assert_eq!(judge(CHALLENGE_LIMIT).status, RequestStatus::Accepted);
        let late = judge(CHALLENGE_LIMIT + Duration::from_millis(1));
        assert_eq!(late.status, RequestStatus::Refused);
        assert_eq!(late.code.as_deref(), Some("challenge_failed"));
        assert!(late.text.contains("more than 5 s"), "{}", late.text);
    }
}
