// One prediction in full, by its id. The id is in the page's address, so that a link to it can be shared.

import { element, find, put, show } from "./dom.js";
import { fixed, moment, value } from "./format.js";

const PATIENCE_MS = 10_000;
let asked = 0;

export function shownId() {
  return new URLSearchParams(location.search).get("id") ?? "";
}

export async function lookUp(pipeline, id) {
  const mine = ++asked;
  show(find("one"), false);
  if (!id) return said("");
  said("Looking for it …");
  const answer = await ask(pipeline, id);
  if (mine !== asked) return undefined; // somebody has asked for another one since
  if (answer.prediction) draw(answer.prediction);
  return said(answer.said);
}

const said = (words) => put(find("one-said"), words);

async function ask(pipeline, id) {
  const path = `/api/predictions/${encodeURIComponent(pipeline)}/${encodeURIComponent(id)}`;
  try {
    const response = await fetch(path, { signal: AbortSignal.timeout(PATIENCE_MS) });
    const body = await response.json();
    return response.ok ? { prediction: body, said: "" } : { said: body.said };
  } catch {
    return { said: "The monitor did not answer: is it running? Try again when this page says that it is live." };
  }
}

function draw(one) {
  const parts = [facts("What was said", answer(one))];
  if (one.value.items) parts.push(items(one.value.items));
  parts.push(...one.held.map(held));
  parts.push(facts("Where it is", place(one)), facts("Headers", headers(one.headers)));
  const all = element("details", {}, element("summary", { text: "The value on the topic" }), element("pre", { name: "wide", text: JSON.stringify(one.value, null, 2) }));
  find("one").replaceChildren(element("div", { name: "found" }, ...parts), all);
  show(find("one"), true);
}

const OUTCOMES = { positive: "it was so (positive)", negative: "it was not so (negative)" };

function answer(one) {
  const { score, threshold, decision, time_ms: timeMs } = one.value;
  const list = [["Id", one.id], ["Event", one.event_id], ["Model", one.model]];
  if (typeof score === "number") list.push(["Score", `${fixed(score, 4)}, an alert from ${value(threshold)} on`], ["Decision", String(decision)]);
  list.push(["Marks", one.marks.length ? one.marks.join(", ") : "none: exact"]);
  list.push(["Outcome", OUTCOMES[one.outcome] ?? "not known yet"]);
  list.push(["Time of the event", moment(timeMs)]);
  return list;
}

function place(one) {
  return [
    ["Record", `${one.topic}/${one.partition}/${one.offset}`],
    ["Key", one.key ?? "none"],
    ["In Kafka since", moment(one.appended_ms)],
  ];
}

/** As they are, and what is a time as one too. */
function headers(all) {
  return Object.entries(all).map(([name, text]) => [name, name === "scored-at" ? `${text} (${moment(Number(text))})` : text]);
}

function facts(title, list) {
  const pairs = list.flatMap(([name, text]) => [element("dt", { text: name }), element("dd", { text })]);
  return element("section", {}, element("h3", { text: title }), element("dl", { name: "facts" }, ...pairs));
}

function held({ name, kind, entity, features }) {
  const titles = { event: "Of the event itself", view: `What ${name} ${entity ?? ""} held`, lookup: `Looked up: ${name} ${entity ?? ""}` };
  return element(
    "section",
    {},
    element("h3", { text: titles[kind] }),
    grid(["Feature", "Value", "Mean in training"], features.map((one) => [one.name, value(one.value), value(one.reference_mean)])),
  );
}

function items(list) {
  return element(
    "section",
    {},
    element("h3", { text: "Recommended, the best first" }),
    grid(["Item", "Score"], list.map((one) => [String(one.item_id), fixed(one.score, 4)])),
  );
}

function grid(heads, lines) {
  const cell = (tag, text, index, more = {}) => element(tag, { text, name: index ? "number" : "text", ...more });
  const table = element(
    "table",
    {},
    element("thead", {}, element("tr", {}, ...heads.map((head, index) => cell("th", head, index, { scope: "col" })))),
    element("tbody", {}, ...lines.map((line) => element("tr", {}, ...line.map((text, index) => (index ? cell("td", text, index) : cell("th", text, index, { scope: "row" })))))),
  );
  return element("div", { name: "wide" }, table);
}
