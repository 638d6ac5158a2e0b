"use strict";
(() => {
  const INTERVAL = 5000;
  const SVG = "http://www.w3.org/2000/svg";
  const main = document.querySelector("main");
  const find = (selector) => main.querySelector(selector);

  // An element. Whatever a server or a sender said becomes text, never markup.
  const make = (name, attributes, ...content) => {
    const element = document.createElement(name);
    for (const key in attributes) element.setAttribute(key, attributes[key]);
    element.append(...content.filter((part) => part !== null).map((part) => part instanceof Node ? part : String(part)));
    return element;
  };
  const time = (at, attributes) => make("time", { ...attributes, datetime: at }, at);
  const several = (number, noun) => `${number} ${noun}${number === 1 ? "" : "s"}`;

  const SEVERITIES = ["critical", "warning", "clear", "info"];
  const TONES = { ok: "good", warning: "warning", error: "bad" };

  const badge = (entry) => {
    if (SEVERITIES.includes(entry.severity)) return entry.severity;
    return entry.ok || entry.kind !== null ? "other" : "refused";
  };
  const result = (entry) => make("span", { class: entry.ok ? "strong good" : "strong bad" }, entry.result);
  const figures = (entry) => {
    const duration = entry.duration_ms === null ? null : `${entry.duration_ms} ms`;
    return [entry.status, duration].filter((part) => part !== null).join(", ");
  };
  const link = (url) => make("a", { href: url, rel: "noopener noreferrer", target: "_blank" }, "Open in Netdata Cloud");
  const what = (entry) => {
    const label = entry.severity === null ? entry.label : `${entry.label}, ${entry.severity}`;
    const first = make("p", { class: "text" }, make("span", { class: `badge ${badge(entry)}` }, label));
    if (entry.title !== null) first.append(" ", make("span", { class: "strong" }, entry.title));
    if (!entry.ok) first.append(" ", make("code", { class: "bad strong" }, entry.code));
    const lines = [first];
    const say = (text) => lines.push(make("p", { class: "small text" }, text));
    const note = (...text) => lines.push(make("p", { class: "quiet small text" }, ...text));
    if (entry.message !== null && entry.message !== entry.title) say(entry.message);
    const place = [entry.node, entry.space].filter((part) => part !== null).join(", ");
    const id = entry.space_id !== entry.space ? entry.space_id : null;
    if (place !== "") note(place, ...(id === null ? [] : [" ", make("code", {}, id)]));
    if (entry.reason !== null) say(entry.reason);
    if (entry.subject !== null) note("Certificate: ", entry.subject);
    if (entry.advice !== null) note(entry.advice);
    if (entry.url !== null) lines.push(make("p", { class: "small" }, link(entry.url)));
    return lines;
  };

  const event = (entry) => {
    const cell = (name, ...content) => make("td", { role: "cell", class: name }, ...content);
    const when = cell("when small number", time(entry.at));
    if (entry.times > 1) when.append(" ", make("span", { class: "badge" }, `×${entry.times}`));
    const from = cell("from small");
    if (entry.remote_addr !== null) from.append(make("p", { class: "number" }, entry.remote_addr));
    if (entry.route !== null) from.append(make("p", { class: "quiet text" }, entry.route));
    if (entry.request_id !== null) from.append(make("p", { class: "quiet id" }, make("code", {}, entry.request_id)));
    const outcome = cell("result", make("p", {}, result(entry)), make("p", { class: "quiet small number" }, figures(entry)));
    const row = make("tr", { role: "row", class: entry.ok ? "passed" : entry.result === "not delivered" ? "lost" : "refused" });
    row.append(when, cell("what", ...what(entry)), from, outcome);
    return row;
  };

  const rows = (items) => make("ul", { class: "rows" }, ...items);
  const state = (tone, text) => make("span", { class: `state ${tone}` }, text);

  const serverRow = (name, { server, healthy }) => make("li", {},
    make("span", { class: "strong text" }, name),
    healthy ? state("good", "in use") : state("bad", "left out"),
    make("span", { class: "quiet small text" }, server));
  const responseRow = ({ name, last_response: last }) => {
    const row = make("li", {}, make("span", { class: "strong text" }, name));
    if (last === null) {
      row.append(state("quiet", "not used yet"));
      return row;
    }
    const details = make("span", { class: "quiet small text" }, "Last response: ", time(last.at));
    if (last.duration_ms !== null) details.append(`, ${last.duration_ms} ms`);
    if (last.failure !== null) details.append(`. ${last.failure}`);
    row.append(state(`number ${last.ok ? "good" : "bad"}`, last.status ?? "no response"), details);
    return row;
  };

  const DEMANDS = { require: "a client certificate is required", request: "a client certificate is requested" };
  const listenerRow = ({ scheme, address, verify }) => make("li", {},
    make("span", { class: "strong text" }, `${scheme}://${address}`),
    make("span", { class: "quiet small" }, "listener"),
    make("span", { class: "quiet small text" }, DEMANDS[verify] ?? "no client certificate is requested"));
  const routeRow = ({ path, upstream, kind, demands, spaces, challenge, note }) => {
    const of = spaces.length === 0 ? "" : `, of ${spaces.join(", ")}`;
    const silent = kind === "webhook" && !challenge ? "; answers no challenge" : "";
    const row = make("li", {},
      make("span", { class: "strong text" }, `${path} → ${upstream}`),
      make("span", { class: "quiet small" }, kind),
      make("span", { class: "quiet small text" }, `requires ${demands}${of}${silent}`));
    if (note !== null) row.append(make("span", { class: "note small text" }, `Note: ${note}.`));
    return row;
  };

  const fact = (name, tone, text, ...details) => make("li", {},
    make("span", { class: "strong text" }, name),
    state(`number ${tone}`, text),
    make("span", { class: "quiet small text" }, ...details));
  const waitingRow = (entry) => {
    const details = [];
    if (entry.down_since !== null) details.push("The application has taken none since ", time(entry.down_since), ". ");
    if (entry.oldest !== null) details.push("Oldest: ", time(entry.oldest), ". ");
    if (entry.next_try !== null) details.push("Next attempt: ", time(entry.next_try), ". ");
    if (entry.sending > 0) details.push(`Under way: ${entry.sending}. `);
    if (entry.last_error !== null) details.push("Last error, ", time(entry.last_error.at), `: ${entry.last_error.error}`);
    const text = entry.waiting === 0 ? "nothing waits" : entry.waiting === 1 ? "1 waits" : `${entry.waiting} wait`;
    return fact(entry.route, TONES[entry.status], text, ...details);
  };
  const parkedRow = ({ route, count, why, list, retry }) => fact(route, "warning", `${count} parked`, why, " ",
    make("code", {}, list), " shows them. ", make("code", {}, retry), " sends everything that is parked again.");
  const sizeRow = ({ bytes, max_bytes: max }) => {
    const percent = Math.floor(bytes * 100 / Math.max(max, 1));
    const mebibytes = (number) => Math.ceil(Math.max(number, 0) / 1048576);
    return fact("Size", percent > 80 ? "warning" : "good", `${percent} %`, `${mebibytes(bytes)} of ${mebibytes(max)} MiB`);
  };
  const queueRows = (queue) => {
    const items = [];
    if (queue.problem !== null) items.push(fact("The file", "bad", "cannot be written", queue.problem));
    if (queue.damaged !== null) items.push(fact("A damaged file", "warning", "set aside", queue.damaged));
    if (!queue.delivering) items.push(fact("Delivery", "quiet", "elsewhere", "Another process delivers what is stored. This one stores, and takes over."));
    return [...items, ...queue.routes.map(waitingRow), ...queue.parked.map(parkedRow), sizeRow(queue)];
  };

  // What each part of the page shows, and how. A part is made anew only if what it shows has changed.
  const parts = [
    ["#findings", (s) => s.findings, (findings) => findings.map(({ level, text }) => make("li", { class: level }, make("span", {}, text)))],
    ["#summary", (s) => [s.started, s.connections], ([started, connections]) =>
      ["Started ", time(started), `, ${several(connections, "open connection")}.`]],
    ["#last .body", (s) => s.last_notification, (entry) => entry === null
      ? [make("p", { class: "big" }, "None yet"), make("p", { class: "quiet" }, "None has come since the start.")]
      : [make("p", { class: "big" }, time(entry.at)), ...what(entry),
        make("p", {}, result(entry), " ", make("span", { class: "quiet small number" }, figures(entry)))]],
    ["#activity .legend", (s) => s.history, ({ passed, refused, not_delivered: lost }) =>
      [make("span", { class: "passed" }, `${sum(passed)} passed`), make("span", { class: "refused" }, `${sum(refused)} refused`),
        make("span", { class: "lost" }, `${sum(lost)} not delivered`)]],
    ["#activity .scale", (s) => scale(s.history), ([above, below]) =>
      [above, "0", below].map((number) => make("span", {}, number))],
    ["#activity svg", (s) => s.history, chart],
    ["#certificates .body", (s) => s.certificates, (certificates) => certificates.length === 0
      ? [make("p", { class: "quiet" }, "There are none: TLS ends before this program.")]
      : [rows(certificates.map((certificate) => make("li", {},
        make("span", { class: "strong" }, certificate.label),
        state(`number ${TONES[certificate.status]}`, certificate.left),
        make("span", { class: "quiet small text" }, certificate.name, ", until ", time(certificate.not_after, { class: "date" })))))]],
    ["#upstreams .body", (s) => s.upstreams, (upstreams) => [rows(upstreams.flatMap((upstream) =>
      [...upstream.servers.map((server) => serverRow(upstream.name, server)), responseRow(upstream)]))]],
    ["#queue", (s) => s.queue, (queue) => queue === null ? [] : [make("h2", {}, "Queue"), rows(queueRows(queue))]],
    ["#configured .body", (s) => [s.listeners, s.routes], ([listeners, routes]) =>
      [rows([...listeners.map(listenerRow), ...routes.map(routeRow)])]],
    ["#tokens .body", (s) => s.test_tokens, (tokens) => tokens.length === 0
      ? [make("p", { class: "quiet" }, "When you press Test in Netdata Cloud, the token to paste there appears here.")]
      : tokens.map(({ route, token, at }) => make("div", { class: "token" },
        make("p", { class: "quiet small text" }, route, ", ", time(at)),
        make("div", { class: "value" }, make("code", {}, token), make("button", { type: "button" }, "Copy"))))],
    ["#events .body", (s) => s.events, (events) => events.length === 0
      ? [make("tr", { role: "row" }, make("td", { role: "cell", class: "what quiet" }, "Nothing has happened yet."))]
      : events.map(event)],
    ["#totals", (s) => s.totals, ({ passed, refused, not_delivered: lost }) =>
      [`Since the start: ${passed} passed, ${refused} refused, ${lost} not delivered.`]],
  ];

  function sum(numbers) {
    return numbers.reduce((total, number) => total + number, 0);
  }

  // What the highest bars above and below the line stand for. A single event does not fill the chart.
  function scale({ passed, refused, not_delivered: lost }) {
    return [Math.max(4, ...passed), Math.max(4, ...refused, ...lost)];
  }

  function chart(history) {
    const { passed, refused, not_delivered: lost } = history;
    const shape = (name, attributes) => {
      const element = document.createElementNS(SVG, name);
      for (const key in attributes) element.setAttribute(key, attributes[key]);
      return element;
    };
    const bars = (name, counts, most, top) => counts.flatMap((count, index) => {
      const height = Math.max(3, Math.ceil(count * 50 / most));
      return count === 0 ? [] : [shape("rect", { class: name, x: index * 10 + 1, y: top(height), width: 8, height })];
    });
    const [above, below] = scale(history);
    const label = `In the last 24 hours: ${sum(passed)} passed, ${sum(refused)} refused, ${sum(lost)} not delivered.`;
    find("#activity svg").setAttribute("aria-label", label);
    return [
      shape("path", { d: "M0 52h960M1 2v100M240 2v100M480 2v100M720 2v100M959 2v100" }),
      ...bars("passed", passed, above, (height) => 51 - height),
      ...bars("refused", refused, below, () => 53),
      ...bars("lost", lost, below, () => 53),
    ];
  }

  const shown = new Map();
  const show = (status) => {
    const health = find("#health");
    if (health.className !== status.status) health.className = status.status;
    const headline = find("#headline");
    if (headline.textContent !== status.headline) headline.textContent = status.headline;
    document.title = `${status.headline} · netdata-webhook-proxy`;
    for (const [selector, select, render] of parts) {
      const value = select(status);
      const text = JSON.stringify(value);
      if (shown.get(selector) !== text) {
        find(selector).replaceChildren(...render(value));
        shown.set(selector, text);
      }
    }
    find("#updated").replaceChildren("As of ", time(status.now));
  };

  // Times are relative to the server's clock: this machine's may be wrong.
  let ahead = 0;
  const UNITS = [["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]];
  const words = new Intl.RelativeTimeFormat("en", { numeric: "auto" });
  const ago = (date) => {
    const seconds = Math.round((date - Date.now() - ahead) / 1000);
    if (Math.abs(seconds) < 5) return seconds > 0 ? "in a moment" : "just now";
    const [unit, length] = UNITS.find(([, length]) => Math.abs(seconds) >= length);
    return words.format(Math.trunc(seconds / length), unit);
  };
  const date = new Intl.DateTimeFormat(undefined, { dateStyle: "medium" });
  const moment = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
  const tell = () => {
    for (const element of main.querySelectorAll("time")) {
      const at = new Date(element.dateTime);
      const text = element.className === "date" ? date.format(at) : element.closest("#updated") ? moment.format(at) : ago(at);
      if (element.textContent !== text) element.textContent = text;
      element.title = moment.format(at);
    }
    for (const button of main.querySelectorAll("button")) button.hidden = false;
  };

  const refresh = async () => {
    try {
      const answer = await fetch("/api/status.json", { cache: "no-store", signal: AbortSignal.timeout(INTERVAL) });
      if (!answer.ok) throw new Error(answer.statusText);
      const status = await answer.json();
      ahead = new Date(status.now) - Date.now();
      show(status);
      find("#stale").hidden = true;
    } catch {
      find("#stale").hidden = false;
    }
    tell();
  };

  // Not every browser lets a page that came over plain HTTP near the clipboard.
  const copySelection = (element) => {
    const selection = getSelection();
    selection.selectAllChildren(element);
    const copied = document.execCommand("copy");
    if (copied) selection.removeAllRanges();
    return copied;
  };
  const copy = async (element) => {
    try {
      await navigator.clipboard.writeText(element.textContent);
      return true;
    } catch {
      return copySelection(element);
    }
  };
  main.addEventListener("click", async ({ target }) => {
    if (!(target instanceof HTMLButtonElement)) return;
    const copied = await copy(target.parentElement.querySelector("code"));
    target.textContent = copied ? "Copied" : "Press Ctrl+C";
    setTimeout(() => { target.textContent = "Copy"; }, 2000);
  });

  // Nobody looks at a page in the background.
  setInterval(() => { if (!document.hidden) refresh(); }, INTERVAL);
  document.addEventListener("visibilitychange", () => { if (!document.hidden) refresh(); });
  tell();
  refresh();
})();
