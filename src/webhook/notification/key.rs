//! The keys that notifications are known to have.
//!
//! A key is recognised once, where it is read. What is searched for in a body from then on is found
//! by comparing numbers instead of texts, which saves a fifth of the instructions that it takes to
//! decide about an alert.

macro_rules! keys {
    ($($key:ident = $text:literal,)*) => {
        /// A known key.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub(super) enum Key {
            $($key,)*
        }

        impl Key {
            pub(super) const ALL: &[(Self, &str)] = &[$((Self::$key, $text),)*];
        }
    };
}

keys! {
    AdditionalActiveCriticalAlerts = "additional_active_critical_alerts",
    AdditionalActiveWarningAlerts = "additional_active_warning_alerts",
    Alarm = "alarm",
    AlarmUrl = "alarm_url",
    Alert = "alert",
    AlertUrl = "alert_url",
    CapitalRooms = "Rooms",
    CentralisationPoint = "centralisation_point",
    Chart = "chart",
    Class = "class",
    Classification = "classification",
    Command = "command",
    Config = "config",
    Context = "context",
    Created = "created",
    Critical = "critical",
    CriticalCount = "critical_count",
    Date = "date",
    Duration = "duration",
    Entries = "entries",
    Family = "family",
    Hash = "hash",
    Host = "host",
    Hostname = "hostname",
    Id = "id",
    Info = "info",
    Line = "line",
    Live = "live",
    Location = "location",
    Log = "log",
    Message = "message",
    Name = "name",
    Node = "node",
    Nodes = "nodes",
    NodesStats = "nodes_stats",
    NonClear = "non_clear",
    Offline = "offline",
    PrevState = "prev_state",
    Reachable = "reachable",
    Recipient = "recipient",
    Removed = "removed",
    Rendered = "rendered",
    Rooms = "rooms",
    Severity = "severity",
    Slug = "slug",
    Space = "space",
    Stale = "stale",
    State = "state",
    Status = "status",
    Summary = "summary",
    Text = "text",
    Timezone = "timezone",
    Title = "title",
    Token = "token",
    Total = "total",
    TransitionId = "transition_id",
    TriggeredAt = "triggered_at",
    Url = "url",
    UtcOffset = "utc_offset",
    Value = "value",
    ValueStr = "value_str",
    Warning = "warning",
    WarningCount = "warning_count",
}

/// The number of places in [`TABLE`]: a power of two, and several for each key.
const PLACES: usize = 256;

/// Each key at the first place from its [`place`] on that was free.
const TABLE: [Option<Key>; PLACES] = {
    let mut table = [None; PLACES];
    let mut index = 0;
    while index < Key::ALL.len() {
        let (key, text) = Key::ALL[index];
        let mut at = place(text.as_bytes());
        while table[at].is_some() {
            at = (at + 1) % PLACES;
        }
        table[at] = Some(key);
        index += 1;
    }
    table
};

/// Returns where a text that is not empty is looked for first.
const fn place(text: &[u8]) -> usize {
    let last = text.len() - 1;
    let sample = [text[0], text[last / 2], text[last], text.len() as u8];
    (u32::from_le_bytes(sample).wrapping_mul(0x9e37_79b1) >> 24) as usize
}

/// Each has a bit of its own.
const _: () = assert!(Key::ALL.len() <= u64::BITS as usize);

impl Key {
    /// Returns the key as it is spelled.
    pub(super) fn text(self) -> &'static str {
        Self::ALL[self as usize].1
    }

    /// Returns the key that is spelled like this, if it is known.
    #[inline]
    pub(super) fn of(text: &[u8]) -> Option<Self> {
        let mut at = if text.is_empty() {
            return None;
        } else {
            place(text)
        };
        loop {
            let key = TABLE[at]?;
            if key.text().as_bytes() == text {
                return Some(key);
            }
            at = (at + 1) % PLACES;
        }
    }

    /// Returns a bit that no other key has.
    pub(super) const fn bit(self) -> u64 {
        1 << self as u8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_is_recognised_as_it_is_spelled_and_has_a_bit_of_its_own() {
        let mut seen = 0;
        for (key, text) in Key::ALL {
            assert_eq!(Key::of(text.as_bytes()), Some(*key), "{text}");
            assert_eq!(key.text(), *text);
            assert_eq!(seen & key.bit(), 0, "{text}");
            seen |= key.bit();
        }
    }

    #[test]
    fn other_texts_are_not_known() {
        let spelled = |text: &str| Key::ALL.iter().any(|(_, known)| *known == text);
        let mut others = vec![String::new(), "k".into(), "\u{fd}".into(), "x".repeat(1000)];
        for (_, text) in Key::ALL {
            let (first, last) = (&text[1..], &text[..text.len() - 1]);
            others.extend([first, last].map(str::to_owned));
            others.extend([format!("{text} "), format!(" {text}"), text.to_uppercase()]);
        }
        for text in others.iter().filter(|text| !spelled(text)) {
            assert_eq!(Key::of(text.as_bytes()), None, "{text}");
        }
    }
}
