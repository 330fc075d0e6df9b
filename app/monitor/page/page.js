// One page for whoever is on call. Listens to the monitor and draws what it tells; which pipeline is in the address.

import { element, find, keep, mark, put, show, tell } from "./dom.js";
import { clock, span } from "./format.js";
import { drawLag } from "./lag.js";
import { listen } from "./live.js";
import { drawModel } from "./model.js";
import { drawFigures, drawPace } from "./pace.js";
import { lookUp, shownId } from "./prediction.js";
import { drawAlerts, drawMarks, drawRefused, drawSources } from "./told.js";
import { drawNoVerdict, drawVerdict, judge } from "./verdict.js";

const SAID = 8; // how many of the last sentences are kept for a reader

let newest = null;
let isOld = false;
let spokenLevel = "";

// -- which pipeline -------------------------------------------------------------------------------------------------

const asked = () => new URLSearchParams(location.search).get("pipeline");
const chosen = (seen) => seen.pipelines.find((one) => one.name === asked()) ?? (asked() === null ? seen.pipelines[0] : null);
const address = (pipeline, id = "") => `?${new URLSearchParams(id ? { pipeline, id } : { pipeline })}`;

function go(url) {
  history.pushState(null, "", url);
  redraw();
  look();
}

function look() {
  const pipeline = newest && chosen(newest);
  if (!pipeline) return;
  find("ask-id").value = shownId();
  lookUp(pipeline.name, shownId());
}

// -- drawing --------------------------------------------------------------------------------------------------------

function draw(seen) {
  const first = newest === null;
  newest = seen;
  isOld = false;
  redraw();
  mark(find("link"), "data-at-ms", seen.at_ms);
  if (!first) return;
  look();
  if (shownId()) find("one-panel").scrollIntoView();
}

function redraw() {
  if (!newest) return;
  const pipeline = chosen(newest);
  drawSwitch(newest, pipeline);
  show(find("seen"), Boolean(pipeline));
  if (!pipeline) {
    drawNobody();
    return;
  }
  if (isOld) drawOld();
  else drawVerdict(newest, pipeline);
  drawFigures(pipeline);
  const taken = drawLag(newest, pipeline);
  drawAlerts(newest, pipeline);
  drawPace(pipeline);
  drawModel(pipeline);
  drawRefused(pipeline);
  drawMarks(pipeline);
  drawSources(newest);
  drawNewest(pipeline);
  show(find("one-panel"), pipeline.kind !== "fold");
  speak(pipeline, taken);
}

function drawSwitch(seen, pipeline) {
  keep(find("pipelines"), seen.pipelines, {
    key: (one) => one.name,
    make: (one) => element("li", {}, element("a", { href: address(one.name) }, element("span", { name: "level" }))),
    update: (node, one) => {
      const { level, words } = judge(seen, one);
      const [link] = node.children;
      mark(link, "aria-current", one === pipeline ? "page" : null);
      mark(link, "title", words);
      mark(link.firstElementChild, "data-level", level);
      put(link.firstElementChild, one.name);
    },
  });
}

function drawNobody() {
  const is = newest.pipelines.length ? `There is no pipeline ${asked()} here: choose one above.` : "The monitor watches no pipeline.";
  drawNoVerdict("Nothing to judge", is);
}

function drawNewest(pipeline) {
  const what = pipeline.kind === "score" ? "The newest alerts:" : "The newest answers:";
  const node = find("newest");
  show(node, pipeline.newest.length > 0);
  const shown = JSON.stringify([pipeline.name, pipeline.newest]);
  if (node.dataset.shown === shown) return;
  node.dataset.shown = shown;
  const links = pipeline.newest.slice(0, 6).flatMap((id) => [" ", element("a", { text: id, href: address(pipeline.name, id) })]);
  node.replaceChildren(what, ...links);
}

/** Adds to what is read aloud: what was said a moment ago may not have been heard to its end. */
function say(words) {
  const node = find("spoken");
  node.append(element("p", { text: words }));
  while (node.children.length > SAID) node.firstElementChild.remove();
}

/** For those who hear the page: what has changed, never each second's numbers. */
function speak(pipeline, taken) {
  const { level, words } = judge(newest, pipeline);
  const changed = `${pipeline.name} ${level}`;
  const news = [...taken];
  if (spokenLevel !== changed) news.unshift(`${pipeline.name}: ${words}. ${pipeline.said}`);
  spokenLevel = changed;
  if (news.length) say(news.join(" "));
  document.title = `${level === "critical" ? "■ " : level === "warning" ? "▲ " : ""}${pipeline.name} · streaminfer`;
}

// -- the link to the monitor ----------------------------------------------------------------------------------------

const NOTICES = {
  stale: [
    "Nothing has come from the monitor for more than 5 seconds: what is shown is old.",
    "Is it running? Start it again with `streaminfer monitor`; scoring does not depend on it: see `streaminfer status`. This page goes on by itself.",
  ],
  error: [
    "The monitor does not answer.",
    "Start it with `streaminfer monitor`, and open the address that it prints. This page tries again by itself.",
  ],
};

function drawLink(state, sinceMs, why) {
  isOld = state === "stale";
  mark(find("link"), "data-state", state);
  put(find("link"), { live: "Live, each second", stale: `Stale: ${span(sinceMs / 1000)} old`, error: "No answer" }[state]);
  mark(find("seen"), "data-old", isOld);
  show(find("notice"), state in NOTICES);
  if (!(state in NOTICES)) return;
  const [what, todo] = NOTICES[state];
  tell(find("notice-what"), what);
  tell(find("notice-do"), why || todo);
  if (isOld) drawOld();
  else drawNoVerdict("Not known", "Nothing has come from the monitor yet.");
}

/** What was well some time ago is no verdict. */
function drawOld() {
  drawNoVerdict("Not known", `Not known since ${clock(newest.at_ms)}.`, [["Last said", chosen(newest)?.said]]);
}

// -- keys and clicks ------------------------------------------------------------------------------------------------

document.addEventListener("click", (event) => {
  const link = event.target.closest("a[href^='?']");
  if (!link || event.metaKey || event.ctrlKey || event.shiftKey || event.button) return;
  event.preventDefault();
  go(link.getAttribute("href"));
});

find("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  const pipeline = newest && chosen(newest);
  if (pipeline) go(address(pipeline.name, find("ask-id").value.trim()));
});

document.addEventListener("keydown", (event) => {
  if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.closest("input, textarea, select") || find("one-panel").hidden) return;
  event.preventDefault();
  find("ask-id").focus();
});

addEventListener("popstate", () => {
  redraw();
  look();
});

for (const details of document.querySelectorAll("details")) details.addEventListener("toggle", redraw);

listen("/api/live", { seen: draw, state: drawLink });
