//! A request followed through the log by its ID.

use super::ALERT;
use crate::support::{Origin, Pki, Proxy, Sender, WEBHOOK, is_event};

#[test]
fn a_request_id_leads_from_the_answer_through_the_log_to_the_application() {
    let origin = Origin::spawn();
    let proxy = Proxy::in_front_of(&origin, Pki::shared(), "require", "");
    let sender = Sender::to(&proxy, Some(&Pki::shared().netdata()));
    assert_eq!(sender.post(ALERT).status, 200);
    let id = origin.received_one().header("X-Request-Id").to_owned();
    assert!(proxy.wait_for_log(&id).contains("outcome=\"forwarded\""));
    let refused = sender.post("[]");
    let id = refused.header("X-Request-Id").unwrap();
    assert!(refused.body.contains(id));
    assert!(proxy.wait_for_log(id).contains("code=\"invalid_json\""));
}

/// The checks of a webhook that is delivered, in their order.
const CHECKS: [&str; 8] = [
    "path",
    "rate",
    "client_certificate",
    "method",
    "authorization",
    "content",
    "body",
    "notification",
];

#[test]
fn at_level_debug_the_log_of_a_request_tells_its_story() {
    let (pki, origin) = (Pki::new(), Origin::spawn());
    let base = Proxy::config(&origin, "require", "");
    let proxy = Proxy::spawn(&pki, &format!("{base}[log]\nlevel = \"debug\"\n"));
    let sender = Sender::to(&proxy, Some(&pki.netdata()));
    let post = |id: &str, body: &str| {
        let headers = format!("X-Request-Id: {id}\r\n");
        sender.send("POST", WEBHOOK, &headers, body).unwrap()
    };

    assert_eq!(post("story-1", ALERT).status, 200);
    proxy.wait_for_log("outcome=\"forwarded\"");
    let log = proxy.log();
    let story: Vec<_> = log.iter().filter(|line| line.contains("story-1")).collect();
    for line in &story {
        assert_eq!(line.matches("story-1").count(), 1, "{line}");
        assert_eq!(line.matches("remote_addr=").count(), 1, "{line}");
    }
    let passed = story.iter().filter(|line| is_event(line, "check_passed"));
    for (line, check) in passed.clone().zip(CHECKS) {
        assert!(line.contains(&format!(" check=\"{check}\"")), "{story:#?}");
    }
    assert_eq!(passed.count(), CHECKS.len(), "{story:#?}");
    let position = |event| story.iter().position(|line| is_event(line, event));
    assert_eq!(position("request"), Some(story.len() - 1), "{story:#?}");
    let response = story[position("upstream_responded").unwrap()];
    assert!(
        response.contains("connection{remote_addr=127.0.0.1}:request{")
            && response.contains(&format!(" route=\"{WEBHOOK}\"}}"))
            && response.contains(" status=200"),
        "{response}"
    );

    proxy.reload(&format!(
        "{base}[log]\nlevel = \"debug\"\nformat = \"json\"\n"
    ));
    assert_eq!(post("story-2", "[]").status, 400);
    proxy.wait_for_log("\"outcome\":\"refused\"");
    let log = proxy.log();
    let line = log.iter().find(|line| is_event(line, "check_failed"));
    let line: serde_json::Value = serde_json::from_str(line.unwrap()).unwrap();
    assert_eq!(
        (&line["check"], &line["code"]),
        (&"notification".into(), &"invalid_json".into())
    );
    let request = &line["spans"][1];
    assert_eq!(
        (&request["name"], &request["request_id"]),
        (&"request".into(), &"story-2".into())
    );
    assert_eq!(request["route"], WEBHOOK);
}
