// What the page says: never a figure without its level, never an old picture as if it were live.

import { drawCurve } from "./curve.js";
import { epsFromStream, epsUnreachable } from "./eps.js";
import { picture, picturesPerSecond, watch } from "./picture.js";

const STALE_MS = 1000; // without a new picture
const SILENT_MS = 2000; // without a new status
const SECONDS = 300;
const COLUMNS = ["at_s", "frames", "share", "latency_ms", "withheld", "dropped"];

const byId = (id) => document.getElementById(id);
const startedAt = performance.now();
let status = null;
let heardAt = -Infinity;
let ended = false;
let samples = [];
let events = null;

// Only what changes is written: a screen reader speaks of each change of an alert.
function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function make(tag, text, fields = {}) {
  const element = document.createElement(tag);
  element.textContent = text;
  for (const [name, value] of Object.entries(fields)) element.setAttribute(name, value);
  return element;
}

// What may be claimed of the picture on the canvas now: the more cautious of all that is known.
function situation() {
  const now = performance.now();
  if (ended) return ["lost", "ENDED", "The stream has ended. This page comes back when it starts again."];
  if (now - heardAt > SILENT_MS) {
    if (heardAt === -Infinity && now - startedAt < SILENT_MS) return ["waiting", "Connecting", ""];
    return ["lost", "DISCONNECTED", "No connection to the stream. Trying again."];
  }
  if (picture.state === "withheld" || status.state === "withheld") {
    const reason = picture.state === "withheld" ? picture.reason : status.reason;
    if (now - picture.shownAt <= STALE_MS) {
      return ["withheld", `WITHHELD: ${reason}`, "Nothing is claimed of this frame."];
    }
  }
  if (picture.shownAt === -Infinity) return ["waiting", "Waiting for the first frame", status.reason];
  if (now - picture.shownAt > STALE_MS) {
    const seconds = Math.floor((now - picture.shownAt) / 1000);
    const why = status.reason ? ` (${status.reason})` : "";
    return ["stale", "WITHHELD: no new frame", `The last one came ${seconds} s ago${why}. Nothing is claimed.`];
  }
  if (status.state !== "ok") return ["waiting", "Waiting", status.reason];
  return ["ok", "", ""];
}

const PILL = { ok: "Live", withheld: "Withheld", stale: "Withheld", lost: "Disconnected", waiting: "Waiting" };

function showState() {
  const [state, title, text] = situation();
  byId("stage").dataset.state = state;
  const pill = byId("connection");
  pill.dataset.state = state === "stale" ? "withheld" : state;
  say(pill, ended ? "Ended" : PILL[state]);
  say(byId("banner").querySelector("strong"), title);
  say(byId("banner").querySelector("span"), text);
  if (state === "lost") epsUnreachable();
  showClaim(state);
  return state;
}

function showClaim(state) {
  const share = byId("share");
  const level = status?.level;
  const claimed = state === "ok" && status.certified_percent !== null && level !== "none";
  share.dataset.state = claimed ? "" : state === "withheld" || state === "stale" ? "withheld" : "dim";
  if (claimed) say(share, `≥ ${status.certified_percent} %`);
  else say(share, state === "ok" ? "nothing" : state === "withheld" || state === "stale" ? "withheld" : "–");
  if (!status) return;
  say(byId("level"), `level: ${level}`);
  const camera = status.source ? `${status.source}: ` : ""; // of several: whose figures these are
  say(byId("claim-title"), camera + (level === "none" ? "Not verified" : `Certified-stable (${level})`));
  say(byId("share-name"), level === "none" ? "Share: not verified" : `Certified-stable share (${level})`);
  say(byId("claim"), claimed
    ? `of the pixels keep their class, whatever change of the frame of norm up to eps = ${status.eps} is made.`
    : "Nothing is claimed at this moment.");
  say(byId("meaning"), `${level}: ${status.meaning}`);
  showClasses(claimed || (state === "ok" && level === "none") ? status.classes : []);
}

function classRow(one) {
  const row = document.createElement("tr");
  const name = make("th", "", { scope: "row" });
  const swatch = make("i", "", { class: "swatch", "aria-hidden": "true" });
  if (one.colour) swatch.style.background = one.colour;
  name.append(swatch, one.name);
  const cell = make("td", "", { class: "bar" });
  const track = make("span", "", { class: "track", "aria-hidden": "true" });
  const part = document.createElement("i");
  part.style.width = `${one.kept_percent ?? 0}%`;
  track.append(part);
  cell.append(track);
  row.append(name, cell, make("td", one.kept_percent === null ? "no claim" : `${one.kept_percent} %`, { class: "number" }));
  return row;
}

let shownClasses = null;
function showClasses(classes) {
  const key = JSON.stringify(classes);
  if (key === shownClasses) return;
  shownClasses = key;
  byId("classes").querySelector("tbody").replaceChildren(...classes.map(classRow));
  byId("classes").hidden = classes.length === 0;
  byId("classes-note").textContent = classes.length === 0 ? "No class is claimed at this moment." :
    `Level ${status.level}. Least share of each class's pixels that stay, with all of eps spent on that class alone.`;
}

function stateItem(name, text, bad, detail) {
  const item = document.createElement("li");
  item.append(make("span", name), make("b", text, { "data-bad": bad ? "1" : "0" }));
  if (detail) item.append(make("small", detail));
  return item;
}

function sourceItem(source) {
  const details = [];
  if (source.reconnects) details.push(`${source.reconnects} reconnects, last outage ${source.down_s.toFixed(1)} s`);
  if (source.last_error) details.push(source.last_error);
  return stateItem(source.name, source.status, !["live", "ended"].includes(source.status), details.join(": "));
}

function sinkItem(sink) {
  const text = sink.error ? "failed" : `${sink.written} written`;
  const details = [sink.dropped ? `${sink.dropped} dropped` : "", sink.error].filter(Boolean);
  return stateItem(sink.name || "null", text, Boolean(sink.error), details.join(", "));
}

function duration(seconds) {
  const s = Math.floor(seconds);
  const parts = [Math.floor(s / 3600), Math.floor(s / 60) % 60, s % 60];
  return parts.map((n) => String(n).padStart(2, "0")).join(":");
}

function showNumbers() {
  const rows = [["running", duration(status.uptime_s)]];
  if (status.frames_in !== undefined) {
    rows.push(["frames in", status.frames_in], ["shown", status.shown], ["dropped", status.dropped]);
  }
  for (const [reason, count] of Object.entries(status.withheld)) rows.push([`withheld: ${reason}`, count]);
  for (const [name, value] of Object.entries(status.latency_ms)) rows.push([`latency ${name}`, `${value} ms`]);
  byId("numbers").replaceChildren(...rows.flatMap(([name, value]) => [make("dt", name), make("dd", value)]));
  const none = () => [stateItem("not reported", "", false, "")];
  byId("sources").replaceChildren(...(status.sources.length ? status.sources.map(sourceItem) : none()));
  byId("sinks").replaceChildren(...(status.sinks.length ? status.sinks.map(sinkItem) : none()));
}

function showFacts(state) {
  const fps = status && status.fps !== null ? `${status.fps} frames a second, ` : "";
  const here = `${picturesPerSecond().toFixed(0)} pictures a second on this page`;
  say(byId("facts"), state === "ok" || state === "withheld" ? fps + here : "not live");
}

function showCurves() {
  const last = samples[samples.length - 1] ?? null;
  const draw = (name, key, options, text) => {
    const value = last ? last[key] : null;
    const words = value === null ? (last?.withheld ? "withheld" : "–") : text(value);
    const canvas = byId(`${name}-curve`);
    say(byId(`${name}-now`), words);
    canvas.setAttribute("aria-label", `Curve of the last minutes; now ${words}`);
    drawCurve(canvas, samples, { key, ...options });
  };
  const percents = (v) => `≥ ${(Math.floor(v * 1000) / 10).toFixed(1)} %`;
  draw("share", "percent", { colour: "--share", top: 100, unit: " %" }, (v) => percents(v / 100));
  draw("latency", "latency_ms", { colour: "--latency", leastTop: 10, unit: " ms" }, (v) => `${v} ms`);
  draw("drops", "dropped", { colour: "--drops", leastTop: 5, unit: "" }, (v) => `${v}`);
}

function addSample(row) {
  const sample = Object.fromEntries(COLUMNS.map((name, k) => [name, row[k]]));
  sample.percent = sample.share === null ? null : sample.share * 100;
  const last = samples[samples.length - 1];
  if (last && sample.at_s < last.at_s) samples = []; // another run
  if (!last || sample.at_s !== last.at_s) samples.push(sample);
  while (samples.length && sample.at_s - samples[0].at_s > SECONDS) samples.shift();
}

async function loadHistory() {
  try {
    const history = await (await fetch("/api/history")).json();
    samples = [];
    history.rows.forEach(addSample);
  } catch { /* the curves begin now */ }
}

function heard(event) {
  if (heardAt === -Infinity || performance.now() - heardAt > SILENT_MS || ended) loadHistory();
  status = JSON.parse(event.data);
  heardAt = performance.now();
  ended = false;
  if (status.second) addSample(status.second);
  epsFromStream(status);
  showNumbers();
  showCurves();
  showFacts(showState());
}

function listen() {
  events?.close();
  events = null;
  if (document.hidden) return;
  const opened = new EventSource("/events");
  events = opened;
  opened.onmessage = heard;
  opened.addEventListener("end", () => { ended = true; showState(); });
  opened.onerror = () => {
    // After a refusal the browser gives up; while a server is away it tries by itself.
    if (opened.readyState === EventSource.CLOSED && events === opened) setTimeout(listen, 1000);
  };
}

const stage = byId("stage");
const button = byId("fullscreen");
button.hidden = !stage.requestFullscreen;
button.addEventListener("click", () => stage.requestFullscreen());

if (location.search) history.replaceState(null, "", "/"); // the token need not stand in the address
document.addEventListener("visibilitychange", listen);
window.addEventListener("resize", showCurves);
setInterval(() => showFacts(showState()), 250);
listen();
watch(showState);
