// The one line that somebody on call reads first: how bad, and in words whether it scores, how late, whether the model
// is still right, what was refused and who holds the lag.

import { element, find, keep, mark, put, tell } from "./dom.js";
import { clock, count, counted, fixed, percent, span } from "./format.js";

const WORDS = { ok: "All is well", warning: "Look at this today", critical: "Act now", quiet: "Nothing to judge yet" };
const OF_STATE = { scoring: "ok", "caught-up": "ok", behind: "warning", stopped: "critical", waiting: "quiet", unknown: "warning" };
const WORSE = ["quiet", "ok", "warning", "critical"];
const RECENT_S = 300;

const worst = (levels) => levels.reduce((a, b) => (WORSE.indexOf(b) > WORSE.indexOf(a) ? b : a));

export const raised = (seen, pipeline) =>
  seen.alerts.filter((alert) => alert.pipeline === pipeline.name && alert.state === "raised");

export const levelOf = (alert) => (alert.severity === "page" ? "critical" : "warning");

export function judge(seen, pipeline) {
  const level = worst([
    OF_STATE[pipeline.state] ?? "warning",
    seen.monitor.kafka === "connected" ? "quiet" : "critical",
    ...raised(seen, pipeline).map(levelOf),
  ]);
  return { level, words: WORDS[level] };
}

export function drawVerdict(seen, pipeline) {
  const { level, words } = judge(seen, pipeline);
  mark(find("verdict"), "data-level", level);
  mark(find("verdict-level"), "data-level", level);
  put(find("verdict-level"), words);
  tell(find("verdict-said"), pipeline.said);
  drawFacts([
    ["Alert", alertFact(seen, pipeline)],
    ["Model", modelFact(pipeline)],
    ["Refused", refusedFact(seen, pipeline)],
    ["Lag", lagFact(pipeline)],
  ]);
}

/** Instead of a verdict that may be wrong by now, or where there is nothing to judge. */
export function drawNoVerdict(words, said, facts = []) {
  mark(find("verdict"), "data-level", "quiet");
  mark(find("verdict-level"), "data-level", "quiet");
  put(find("verdict-level"), words);
  tell(find("verdict-said"), said);
  drawFacts(facts);
}

function drawFacts(facts) {
  keep(find("verdict-facts"), facts.filter(([, text]) => text), {
    key: ([lead]) => lead,
    make: ([lead]) => element("li", {}, element("b", { text: `${lead}: ` }), element("span")),
    update: (node, [, text]) => tell(node.lastElementChild, text),
  });
}

function alertFact(seen, pipeline) {
  const open = raised(seen, pipeline);
  if (!open.length) return seen.monitor.kafka === "connected" ? "" : seen.monitor.said;
  const [first] = open.toSorted((a, b) => WORSE.indexOf(levelOf(b)) - WORSE.indexOf(levelOf(a)));
  const more = open.length > 1 ? ` And ${counted(open.length - 1, "more alert")}.` : "";
  return `${first.summary} ${first.action}${more}`;
}

function modelFact(pipeline) {
  if (pipeline.kind === "ranker") {
    const day = pipeline.hits.findLast((one) => one.rate !== null);
    return day ? `${percent(day.rate)} of the next items were among those recommended (${day.day}).` : "";
  }
  if (pipeline.kind !== "score") return "";
  const day = newestJudged(pipeline);
  const drifted = pipeline.drift.filter((one) => one.state === "drifted");
  const names = drifted.slice(0, 3).map((one) => `${one.name} ${fixed(one.psi, 2)}`).join(", ");
  const drift = drifted.length
    ? `${drifted.length} of ${counted(pipeline.drift.length, "feature")} drifted, most of all ${names}`
    : pipeline.drift.some((one) => one.psi !== null) ? "no feature has drifted" : "drift is not known yet";
  const quality = day
    ? `recall ${fixed(day.recall, 2)}, precision ${fixed(day.precision, 2)} for ${day.day}, the newest day with outcomes`
    : "no outcomes yet";
  return `${quality}; ${drift}.`;
}

/** The newest day with enough outcomes for a precision or a recall. */
export const newestJudged = (pipeline) =>
  pipeline.quality.findLast((day) => day.recall !== null || day.precision !== null);

function refusedFact(seen, pipeline) {
  if (!pipeline.dead) return "nothing.";
  const since = seen.at_ms - RECENT_S * 1000;
  const lately = pipeline.points.filter((one) => one.at_ms >= since).reduce((sum, one) => sum + one.dead_letters, 0);
  const [most] = pipeline.dead_by_reason;
  const newest = Math.max(...pipeline.dead_by_reason.map((one) => one.last_ms));
  const when = lately ? `${count(lately)} within 5 min` : `the newest at ${clock(newest)}`;
  return `${counted(pipeline.dead, "record")}, ${when}${most ? `; most often ${most.stage}/${most.code}` : ""}.`;
}

function lagFact(pipeline) {
  const { partitions, lag } = pipeline.lag;
  const alone = partitions.filter((one) => one.owner === null);
  if (alone.length && !pipeline.lag.rebalancing)
    return `nobody owns ${alone.length === 1 ? "partition" : "partitions"} ${alone.map((one) => one.partition).join(", ")}.`;
  if (!lag) return "";
  const most = partitions.reduce((a, b) => (b.lag > a.lag ? b : a));
  const behind = most.seconds_behind_append === null ? "" : `, ${span(most.seconds_behind_append)} behind`;
  return `${counted(lag, "record")}; most on partition ${most.partition} of ${most.owner ?? "nobody"} (${count(most.lag)}${behind}).`;
}
