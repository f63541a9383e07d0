// What the pages of /docs do besides being read: tabs of examples, search, sign-in, and calls to this server.
"use strict";

const TOKEN = "svoykrug.token";
const LANGUAGE = "svoykrug.language";
// How many characters of an answer are shown: a stream goes on for as long as it is watched.
const MOST_SHOWN = 200_000;
const all = (selector, within = document) => [...within.querySelectorAll(selector)];

// Examples are written for the embedded gateway: here they name the one that shows this page.
for (const code of all(".panel code")) {
  code.textContent = code.textContent.replaceAll("http://localhost:8080", location.origin);
}

function showLanguage(name) {
  for (const calls of all(".calls")) {
    const panels = all(".panel", calls);
    const shown = panels.find((panel) => panel.dataset.language === name) ?? panels[0];
    for (const panel of panels) panel.hidden = panel !== shown;
    for (const tab of all("[role=tab]", calls)) tab.ariaSelected = String(tab.textContent === shown.dataset.language);
  }
}

function copier(calls) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "copy";
  button.textContent = "Copy";
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(calls.querySelector(".panel:not([hidden]) code").textContent);
    button.textContent = "Copied";
    setTimeout(() => (button.textContent = "Copy"), 2000);
  });
  // Without TLS a browser lets a page of another machine write nothing there.
  button.hidden = !navigator.clipboard;
  return button;
}

for (const calls of all(".calls")) {
  const tabs = document.createElement("div");
  tabs.className = "tabs";
  tabs.role = "tablist";
  for (const panel of all(".panel", calls)) {
    const tab = document.createElement("button");
    tab.type = "button";
    tab.role = "tab";
    tab.textContent = panel.dataset.language;
    tab.addEventListener("click", () => {
      localStorage.setItem(LANGUAGE, panel.dataset.language);
      showLanguage(panel.dataset.language);
    });
    panel.querySelector("h4").hidden = true;
    tabs.append(tab);
  }
  tabs.append(copier(calls));
  calls.prepend(tabs);
}
showLanguage(localStorage.getItem(LANGUAGE) ?? "curl");

document.querySelector("#search")?.addEventListener("input", (event) => {
  const wanted = event.target.value.toLowerCase();
  for (const entry of all(".list li")) entry.hidden = !entry.textContent.toLowerCase().includes(wanted);
  for (const start of all(".start")) start.hidden = wanted !== "";
  for (const list of all(".list")) list.hidden = !list.querySelector("li:not([hidden])");
});

async function call(verb, address, body, signal) {
  const headers = { "accept-language": navigator.language };
  const token = sessionStorage.getItem(TOKEN);
  if (token) headers.authorization = `Bearer ${token}`;
  if (body !== undefined) headers["content-type"] = "application/json";
  return fetch(address, { method: verb, headers, body, signal });
}

function indented(line) {
  try {
    return JSON.stringify(JSON.parse(line), null, 2);
  } catch {
    return line;
  }
}

const beginning = (text) => (text.length <= MOST_SHOWN ? text : `${text.slice(0, MOST_SHOWN)}…`);
const newest = (text) => (text.length <= MOST_SHOWN ? text : `…${text.slice(-MOST_SHOWN)}`);

// Shows an answer as it comes: a stream is one JSON value a line, of which the last may not have arrived whole.
async function show(response, answer) {
  const head = `${response.status} ${response.statusText}\n`;
  let whole = "";
  let rest = "";
  answer.textContent = head;
  for (const reader = response.body.pipeThrough(new TextDecoderStream()).getReader(); ; ) {
    const { done, value } = await reader.read();
    const lines = (rest + (value ?? "")).split("\n");
    rest = done ? "" : lines.pop();
    for (const line of lines) whole = newest(`${whole}${beginning(indented(line))}\n`);
    answer.textContent = head + whole + beginning(rest);
    if (done) return;
  }
}

for (const trial of all(".trial")) {
  const form = trial.querySelector("form");
  const answer = trial.querySelector(".answer");
  const stop = form.querySelector(".stop");
  let calling = new AbortController();
  stop.addEventListener("click", () => calling.abort());
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    calling.abort();
    const own = (calling = new AbortController());
    answer.hidden = stop.hidden = false;
    answer.textContent = "…";
    try {
      const body = form.querySelector("textarea")?.value;
      await show(await call(form.dataset.verb, form.elements.address.value, body, own.signal), answer);
    } catch (error) {
      // What was sent anew shows the answer to that.
      if (own !== calling) return;
      answer.append(own.signal.aborted ? "\nStopped." : `\nNot answered: ${error.message}`);
    }
    if (own === calling) stop.hidden = true;
  });
}

// A random UUID (RFC 9562): `crypto.randomUUID` is missing where the page came without TLS from another machine.
function newId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}

function refusal(answer) {
  const shown = answer.details?.find((detail) => detail["@type"].endsWith("LocalizedMessage"));
  return shown?.message ?? answer.message;
}

const form = document.querySelector(".sign-in");
if (form) {
  const state = document.querySelector(".state");
  let challenge;
  const say = (text, bad = false) => {
    state.textContent = text;
    state.classList.toggle("bad", bad);
  };
  const known = () => say(sessionStorage.getItem(TOKEN) ? "Signed in until this tab closes or the token ends." : "Not signed in.");
  form.elements.token.addEventListener("input", (event) => {
    sessionStorage.setItem(TOKEN, event.target.value.trim());
    known();
  });
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    try {
      if (event.submitter.value === "start") {
        const response = await call("POST", "/v1/auth/sign-in:start", JSON.stringify({ phone: form.elements.phone.value }));
        const answer = await response.json();
        challenge = answer.challenge?.challenge_id;
        say(response.ok ? "The code is on its way." : refusal(answer), !response.ok);
        return;
      }
      const version = form.elements.version.value.trim();
      if (form.elements.consents.checked && !version) return say("Name the version of the texts that you accept.", true);
      const kinds = form.elements.consents.checked ? ["CONSENT_KIND_TERMS", "CONSENT_KIND_PERSONAL_DATA"] : [];
      const consents = kinds.map((kind) => ({ kind, version, granted: true }));
      const proof = { challenge_id: challenge ?? "", code: form.elements.code.value, request_id: newId(), consents };
      const response = await call("POST", "/v1/auth/sign-in:complete", JSON.stringify(proof));
      const answer = await response.json();
      if (response.ok) sessionStorage.setItem(TOKEN, answer.tokens.access_token);
      response.ok ? known() : say(refusal(answer), true);
    } catch (error) {
      say(`Not answered: ${error.message}`, true);
    }
  });
  known();
}
