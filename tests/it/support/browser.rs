//! Headless Chromium, driven over a pipe in the DevTools protocol.

use super::{PATIENCE, skip_unless_required};
use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde_json::{Value, json};
use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

/// A browser with one page.
pub(crate) struct Browser {
    child: Child,
    commands: File,
    messages: Receiver<Value>,
    session: String,
    sent: u64,
    _directory: tempfile::TempDir,
}

impl Browser {
    /// `None`, with a note, where there is no Chromium.
    pub(crate) fn open() -> Option<Self> {
        let installed = Command::new("chromium")
            .arg("--version")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        if !installed.is_ok_and(|status| status.success()) {
            skip_unless_required(
                "NWP_REQUIRE_BROWSER",
                "chromium (Debian package chromium) is not installed",
            );
            return None;
        }
        let directory = tempfile::tempdir().unwrap();
        let (commands, answers) = (
            directory.path().join("commands"),
            directory.path().join("answers"),
        );
        assert!(
            Command::new("mkfifo")
                .args([&commands, &answers])
                .status()
                .unwrap()
                .success()
        );
        // It expects its pipes as file descriptors 3 and 4.
        let child = Command::new("sh")
            .args([
                "-c",
                "exec chromium \"$@\" 3<\"$COMMANDS\" 4>\"$ANSWERS\"",
                "sh",
            ])
            .args([
                "--headless=new",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-dev-shm-usage",
                "--no-first-run",
            ])
            .args([
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
            ])
            .args([
                "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
                "--remote-debugging-pipe",
            ])
            .arg(format!(
                "--user-data-dir={}",
                directory.path().join("profile").display()
            ))
            .env("COMMANDS", &commands)
            .env("ANSWERS", &answers)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let commands = OpenOptions::new().write(true).open(commands).unwrap();
        let answers = BufReader::new(File::open(answers).unwrap());
        let (sender, messages) = channel();
        thread::spawn(move || {
            let answers = answers.split(0).map_while(Result::ok);
            answers
                .map(|answer| serde_json::from_slice(&answer).unwrap())
                .try_for_each(|answer| sender.send(answer))
        });
        let mut browser = Self {
            child,
            commands,
            messages,
            session: String::new(),
            sent: 0,
            _directory: directory,
        };
        let target = browser.call("Target.createTarget", json!({ "url": "about:blank" }));
        let attached = browser.call(
            "Target.attachToTarget",
            json!({ "targetId": target["targetId"], "flatten": true }),
        );
        browser.session = attached["sessionId"].as_str().unwrap().to_owned();
        browser.call("Page.enable", json!({}));
        Some(browser)
    }

    /// Calls a method, and returns its result.
    #[track_caller]
    pub(crate) fn call(&mut self, method: &str, parameters: Value) -> Value {
        self.sent += 1;
        let mut command = json!({ "id": self.sent, "method": method, "params": parameters });
        if !self.session.is_empty()
            && !method.starts_with("Target.")
            && !method.starts_with("Browser.")
        {
            command["sessionId"] = self.session.clone().into();
        }
        self.commands
            .write_all(format!("{command}\0").as_bytes())
            .unwrap();
        loop {
            let mut message = self
                .messages
                .recv_timeout(PATIENCE)
                .unwrap_or_else(|_| panic!("no answer to {command}"));
            if message["id"] == self.sent {
                assert!(message["error"].is_null(), "{command}: {message}");
                return message["result"].take();
            }
        }
    }

    /// Runs `script` in each page before anything else.
    pub(crate) fn prepare(&mut self, script: &str) {
        self.call(
            "Page.addScriptToEvaluateOnNewDocument",
            json!({ "source": script }),
        );
    }

    /// Shows a page, and waits until it is there.
    pub(crate) fn show(&mut self, url: &str) {
        let shown = self.call("Page.navigate", json!({ "url": url }));
        assert!(shown["errorText"].is_null(), "{shown}");
        self.wait_for("document.readyState === \"complete\"");
    }

    /// The value of an expression, or of what it promises, as if the user had asked for it.
    #[track_caller]
    pub(crate) fn evaluate(&mut self, expression: &str) -> Value {
        let parameters = json!({ "expression": expression, "awaitPromise": true, "returnByValue": true, "userGesture": true });
        let mut answer = self.call("Runtime.evaluate", parameters);
        assert!(
            answer["exceptionDetails"].is_null(),
            "{expression}: {answer}"
        );
        answer["result"]["value"].take()
    }

    /// Waits until an expression is true.
    #[track_caller]
    pub(crate) fn wait_for(&mut self, expression: &str) {
        let deadline = std::time::Instant::now() + PATIENCE;
        while self.evaluate(expression) != true {
            assert!(
                std::time::Instant::now() < deadline,
                "{expression} did not become true"
            );
            thread::sleep(std::time::Duration::from_millis(20));
        }
    }

    /// Clicks the middle of the first element that `selector` finds.
    pub(crate) fn click(&mut self, selector: &str) {
        let script = format!(
            "(() => {{ const e = document.querySelector({selector:?}); e.scrollIntoView({{ block: \"center\" }}); \
             const r = e.getBoundingClientRect(); return [r.x + r.width / 2, r.y + r.height / 2]; }})()"
        );
        let place = self.evaluate(&script);
        for kind in ["mousePressed", "mouseReleased"] {
            let event = json!({ "type": kind, "x": place[0], "y": place[1], "button": "left", "clickCount": 1 });
            self.call("Input.dispatchMouseEvent", event);
        }
    }

    /// Makes the window so wide, and the user's preference `scheme`.
    pub(crate) fn resize(&mut self, width: u32, scheme: &str) {
        let metrics =
            json!({ "width": width, "height": 844, "deviceScaleFactor": 1, "mobile": width < 800 });
        self.call("Emulation.setDeviceMetricsOverride", metrics);
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        self.call(
            "Emulation.setEmulatedMedia",
            json!({ "features": features }),
        );
    }

    /// The whole page as a picture.
    pub(crate) fn screenshot(&mut self) -> Vec<u8> {
        let picture = self.call(
            "Page.captureScreenshot",
            json!({ "captureBeyondViewport": true }),
        );
        BASE64_STANDARD
            .decode(picture["data"].as_str().unwrap())
            .unwrap()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // An error says that it has ended by itself.
        let _ = self
            .commands
            .write_all(b"{\"id\":0,\"method\":\"Browser.close\"}\0");
        let deadline = std::time::Instant::now() + PATIENCE;
        while matches!(self.child.try_wait(), Ok(None)) && std::time::Instant::now() < deadline {
            thread::sleep(std::time::Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
