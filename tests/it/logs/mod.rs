//! The log: what a line looks like, what has one, and how that changes while the program runs.
//!
//! | fault | kind | held by |
//! |---|---|---|
//! | at `trace`, Pingora writes requests out: `Authorization`, `crc_token`; at `debug`, whatever goes to an application and comes back | a library logs what passes through it | [`no_level_shows_what_is_secret`] |
//! | a refused handshake wrote its whole subject (110 KB), a body the whole name of its space (850 KB), a path all of it, in JSON with separators of lines | what a client chose is written whole | [`no_line_is_long_whatever_was_sent`] |
//! | whatever a client repeats has as many lines | a client fills the log | [`warnings_that_repeat_are_limited_and_counted`] |

mod events;
mod limits;
mod lines;
mod settings;
mod story;
mod terminal;

const ALERT: &str = "{\"alert\":\"x\"}";
