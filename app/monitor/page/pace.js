// How fast and how late: the figures on top, and both over the newest half hour.

import { overTime } from "./charts.js";
import { element, find, keep, put, rows, show } from "./dom.js";
import { clock, count, counted, fixed, milliseconds, percent, rate, span } from "./format.js";
import { newestJudged } from "./verdict.js";

const POINT_S = 10;
const TABLE_ROWS = 60;
const charts = {};

export function drawFigures(pipeline) {
  keep(find("figures"), figures(pipeline), {
    key: ([name]) => name,
    make: ([name]) => element("div", {}, element("dt", { text: name }), element("dd"), element("dd", { name: "under" })),
    update: (node, [, main, under]) => {
      put(node.children[1], main);
      put(node.children[2], under);
    },
  });
}

function figures(pipeline) {
  const { lag, latency, scores } = pipeline;
  const list = [["Lag", `${lag.exact || lag.lag === null ? "" : "≤ "}${count(lag.lag)}`, behind(lag)]];
  if (pipeline.kind !== "fold") {
    list.unshift(["Throughput", rate(pipeline.rate_s), `${count(pipeline.predictions)} answers in all`]);
    list.push(["Latency p50", milliseconds(latency?.p50_ms), latency ? `${milliseconds(latency.scored_p50_ms)} of it to the score` : "not known yet"]);
    list.push(["Latency p99", milliseconds(latency?.p99_ms), "event to answer, newest minute"]);
  }
  if (scores) list.push(["Alerted", percent(scores.alert_share, 2), `${counted(scores.alerts, "answer")}, score ≥ ${fixed(scores.threshold, 2)}`]);
  if (pipeline.kind === "score") {
    const day = newestJudged(pipeline);
    list.push(["Recall", fixed(day?.recall, 2), day ? `precision ${fixed(day.precision, 2)}, ${day.day}` : "no outcomes yet"]);
  }
  if (pipeline.kind === "ranker") {
    const day = pipeline.hits.findLast((one) => one.rate !== null);
    list.push(["Hit rate", percent(day?.rate), day ? day.day : "no next items yet"]);
  }
  list.push(["Refused", count(pipeline.dead), "dead letters in all"]);
  return list;
}

function behind(lag) {
  if (lag.lag === null) return "not measured yet";
  return `${lag.lag ? span(lag.seconds_behind_append) : "0 s"} behind`;
}

export function drawPace(pipeline) {
  const over = pipeline.points.slice(0, -1); // the newest ten seconds are not over yet
  const answers = pipeline.kind !== "fold";
  show(find("latency-panel"), answers);
  show(find("throughput-panel"), answers);
  if (!answers) return;
  charts.latency ??= overTime(find("latency"), ["one", "two"], { least: 20, say: (ms) => milliseconds(ms).replace(".0", "") });
  charts.throughput ??= overTime(find("throughput"), ["one", "two"], { least: 10, say: count });
  drawLatency(over);
  drawThroughput(over);
}

function drawLatency(over) {
  const last = over.findLast((one) => one.p50_ms !== null);
  shown("latency", last);
  const [p50, p99] = [milliseconds(last?.p50_ms), milliseconds(last?.p99_ms)];
  keys("latency-keys", [["one", "p50", p50], ["two", "p99", p99]]);
  const label = last ? `Latency over the newest half hour. At ${clock(last.at_ms)}: p50 ${p50}, p99 ${p99}.` : "Latency is not known yet.";
  charts.latency.draw([seconds(over), over.map((one) => one.p50_ms), over.map((one) => one.p99_ms)], label);
  table("latency-table", over, (one) => [clock(one.at_ms), milliseconds(one.p50_ms), milliseconds(one.p99_ms)]);
}

function drawThroughput(over) {
  const last = over.some((one) => one.predictions || one.dead_letters) ? over.at(-1) : undefined;
  shown("throughput", last);
  const a = (number) => rate(number === undefined ? null : number / POINT_S);
  keys("throughput-keys", [["one", "predictions", a(last?.predictions)], ["two", "dead letters", a(last?.dead_letters)]]);
  const label = last
    ? `Throughput over the newest half hour. At ${clock(last.at_ms)}: ${a(last.predictions)} predictions, ${a(last.dead_letters)} dead letters.`
    : "Throughput is not known yet.";
  const data = [seconds(over), over.map((one) => one.predictions / POINT_S), over.map((one) => one.dead_letters / POINT_S)];
  charts.throughput.draw(data, label);
  table("throughput-table", over, (one) => [clock(one.at_ms), a(one.predictions), a(one.dead_letters)]);
}

/** The picture, or the sentence that there is none yet. */
function shown(id, last) {
  for (const part of [id, `${id}-keys`]) show(find(part), last !== undefined);
  show(find(`${id}-none`), last === undefined);
  show(find(`${id}-table`).closest("details"), last !== undefined);
}

const seconds = (points) => points.map((one) => one.at_ms / 1000);

/** What each line means, with its newest value. */
export function keys(id, list) {
  keep(find(id), list, {
    key: ([, name]) => name,
    make: ([ink, name]) => element("li", { "data-ink": ink }, element("i"), element("span", { text: name }), element("b")),
    update: (node, [, , newest]) => put(node.lastElementChild, newest ?? ""),
  });
}

/** Only filled while it is open: nobody reads what is closed. */
function table(id, over, cells) {
  const node = find(id);
  if (!node.closest("details").open) return;
  rows(node, over.slice(-TABLE_ROWS).reverse(), { key: (one) => one.at_ms, cells });
}
