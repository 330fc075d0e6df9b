// What was told: alerts with what to do, what was refused and why, what could not be exact, and what the monitor reads.

import { element, find, keep, mark, put, rows, show, tell } from "./dom.js";
import { clock, count, counted, moment, percent } from "./format.js";
import { levelOf } from "./verdict.js";

const SHOWN = 30;

export function drawAlerts(seen, pipeline) {
  const own = seen.alerts.filter((alert) => alert.pipeline === pipeline.name).toSorted((a, b) => urgency(a) - urgency(b));
  const open = own.filter((alert) => alert.state === "raised").length;
  put(find("alerts-when"), `${open} open, ${own.length - open} closed`);
  show(find("alerts"), own.length > 0);
  show(find("alerts-none"), own.length === 0);
  keep(find("alerts"), own.slice(0, SHOWN), {
    key: (alert) => alert.alert_id,
    make: () =>
      element(
        "li",
        {},
        element("span", { name: "level" }),
        element("div", {}, element("p"), element("p", { name: "do" }), element("p", { name: "quiet" })),
      ),
    update: fillAlert,
  });
}

const urgency = ({ state, severity }) => (state !== "raised" ? 2 : severity === "page" ? 0 : 1);

function fillAlert(node, alert) {
  const [level, { children }] = node.children;
  const open = alert.state === "raised";
  mark(node, "data-open", String(open));
  mark(level, "data-level", open ? levelOf(alert) : "ok");
  put(level, open ? (alert.severity === "page" ? "now" : "this week") : "closed");
  tell(children[0], alert.summary);
  tell(children[1], `Do: ${alert.action}`);
  show(children[1], open);
  put(children[2], open ? `since ${moment(alert.since_ms)} · ops/runbook.md, ${alert.runbook}` : `closed ${moment(alert.time_ms)}`);
}

export function drawRefused(pipeline) {
  const list = pipeline.dead_by_reason;
  put(find("dead-topic"), `${counted(pipeline.dead, "record")} on ${pipeline.dead_letters}`);
  show(find("dead"), list.length > 0);
  show(find("dead-none"), list.length === 0);
  tell(find("dead-do"), list.length ? `To see them: \`streaminfer tail ${pipeline.dead_letters} --from beginning\`` : "");
  rows(find("dead"), list, {
    key: (one) => `${one.stage}/${one.code}`,
    cells: (one) => [`${one.stage}/${one.code}`, `${one.reason} (${one.source})`, count(one.count), clock(one.last_ms)],
  });
}

export function drawMarks(pipeline) {
  show(find("marks-panel"), pipeline.kind !== "fold");
  show(find("marks"), pipeline.marks.length > 0);
  show(find("marks-none"), pipeline.marks.length === 0);
  rows(find("marks"), pipeline.marks, {
    key: (one) => one.mark,
    cells: (one) => [one.mark, count(one.count), percent(one.share, 2)],
  });
}

export function drawSources({ monitor }) {
  tell(find("monitor-said"), monitor.said);
  rows(find("sources"), monitor.sources, {
    key: (one) => one.topic,
    cells: (one) => [
      one.topic,
      one.there ? "there" : "not there yet",
      count(one.read),
      count(one.malformed),
      one.newest_ms === null ? "none yet" : moment(one.newest_ms),
    ],
  });
}
