// An open checkout page: countdown, copying, live state. Everything here is an addition: without it
// the page still says what to pay. HTML comes ready-made from the server, so the templates stay the
// only place that knows what a state looks like.

const SILENCE_MS = 40_000; // the server beats every 15 s; then the connection is dead
const POLL_MS = 5_000;
const HINT_MS = 3_000; // a reconnect quicker than this is nobody's business

const page = document.querySelector("[data-checkout]");
const find = (selector) => page.querySelector(selector);
const regions = Object.fromEntries(
  [...page.querySelectorAll("[data-region]")].map((region) => [region.dataset.region, region]),
);
// What each region was last filled with, in the browser's own spelling of it.
const filled = new Map(Object.values(regions).map((region) => [region, region.innerHTML]));

let deadline = 0; // performance.now() at which the time is up, by the server's clock
let over = page.dataset.over === "yes";
let source = null;
let heardAt = 0;
let hintTimer = 0;
let pollTimer = 0;

// Countdown: the server says how many seconds are left, the visitor's own clock is never asked.

function setSecondsLeft(seconds) {
  deadline = performance.now() + seconds * 1000;
  tick();
}

function tick() {
  const left = Math.max(0, Math.ceil((deadline - performance.now()) / 1000));
  const clock = find("[data-clock]");
  if (clock === null) return;
  const [days, hours] = [Math.floor(left / 86400), Math.floor(left / 3600) % 24];
  const two = (number) => String(number % 60).padStart(2, "0");
  const time = `${two(Math.floor(left / 60))}:${two(left)}`;
  clock.textContent = days > 0 ? `${days} d ${hours} h` : hours > 0 ? `${hours}:${time}` : time;
  clock.classList.toggle("short", left <= 60);
  find("[data-bar]").value = left;
}

// State: regions that changed are replaced; what the visitor chose or focused stays.

function spell(html) {
  const template = document.createElement("template");
  template.innerHTML = html;
  return template.innerHTML;
}

function isBeingFilledIn(region) {
  const field = region.querySelector("form input");
  return field !== null && (field.hasAttribute("aria-invalid") || field.value !== field.defaultValue);
}

function show(state) {
  setSecondsLeft(state.seconds_left);
  if (!state.regions) return;
  const chosen = [...page.querySelectorAll("input:checked")].map((input) => input.id);
  const focused = document.activeElement?.id;
  const before = page.dataset.stage;
  let changed = false;
  for (const [name, html] of Object.entries(state.regions)) {
    const region = regions[name];
    const spelt = spell(html);
    if (filled.get(region) === spelt || isBeingFilledIn(region)) continue;
    filled.set(region, spelt);
    region.innerHTML = html;
    changed = true;
  }
  for (const id of chosen) {
    const input = document.getElementById(id);
    if (input) input.checked = true;
  }
  if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
  page.dataset.stage = state.stage;
  document.title = state.title;
  const announce = find("[data-announce]");
  if (changed && announce.textContent !== state.announcement) announce.textContent = state.announcement;
  if (before !== state.stage) window.scrollTo({ top: 0, behavior: "instant" });
  tick();
}

// Connection: events, and polling while they do not come.

function connected() {
  heardAt = performance.now();
  clearTimeout(hintTimer);
  hintTimer = 0;
  clearInterval(pollTimer);
  pollTimer = 0;
  find("[data-reconnecting]").hidden = true;
}

function lost() {
  if (over) return;
  // The browser retries a dropped connection by itself, but gives up after an HTTP error.
  if (source.readyState === EventSource.CLOSED) setTimeout(connect, POLL_MS);
  hintTimer ||= setTimeout(() => {
    find("[data-reconnecting]").hidden = false;
    pollTimer ||= setInterval(poll, POLL_MS);
  }, HINT_MS);
}

async function poll() {
  try {
    const answer = await fetch(page.dataset.state, { cache: "no-store" });
    if (!answer.ok) return;
    show(await answer.json());
    find("[data-reconnecting]").hidden = true;
  } catch {
    find("[data-reconnecting]").hidden = pollTimer === 0; // the next poll comes
  }
}

function finish() {
  over = true;
  source?.close();
  connected();
}

function connect() {
  if (over) return;
  source?.close();
  heardAt = performance.now();
  source = new EventSource(page.dataset.events);
  const hear = (name, react) =>
    source.addEventListener(name, (event) => {
      connected();
      react(JSON.parse(event.data));
    });
  hear("state", show);
  hear("beat", show);
  hear("over", finish);
  for (const name of ["quote", "authorization"]) {
    hear(name, (detail) => page.dispatchEvent(new CustomEvent(`bezant:${name}`, { detail })));
  }
  source.addEventListener("error", lost);
}

// Copying: with a fallback for pages served without TLS, where the clipboard is closed.

async function copy(text, beside) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const shown = beside?.querySelector("[data-select]");
    if (!shown) return false;
    getSelection().selectAllChildren(shown);
    return document.execCommand("copy") && getSelection().toString().trim() === text;
  }
}

page.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (button === null) return;
  const done = await copy(button.dataset.copy, button.parentElement);
  const text = done ? page.dataset.copied : page.dataset.copyFailed;
  button.dataset.label ??= button.textContent;
  button.textContent = text;
  button.classList.toggle("copied", done);
  find("[data-announce]").textContent = text;
  clearTimeout(button.timer);
  button.timer = setTimeout(() => {
    button.textContent = button.dataset.label;
    button.classList.remove("copied");
  }, 2000);
});

document.addEventListener("visibilitychange", () => {
  // A phone that slept kept neither the connection nor the countdown.
  if (document.visibilityState === "visible" && !over) {
    poll();
    if (performance.now() - heardAt > SILENCE_MS) connect();
  }
});

document.documentElement.classList.add("js");
setSecondsLeft(Number(page.dataset.secondsLeft));
setInterval(tick, 1000);
setInterval(() => {
  if (!over && performance.now() - heardAt > SILENCE_MS) {
    lost();
    connect();
  }
}, 5_000);
connect();
