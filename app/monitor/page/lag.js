// Each partition with its owner and its lag. An owner that changes stays marked for a while, and its predecessor named.

import { element, find, keep, mark, put, show, tell } from "./dom.js";
import { clock, count, span, UNKNOWN } from "./format.js";

const MARKED_MS = 15_000;
const known = new Map(); // "pipeline/partition" -> { owner, before, changedMs, atMs }

/** What is known of the owner of a partition, and whom it took over from: `moved` a moment ago, `isNews` just now. */
function follow(name, partition, atMs) {
  const key = `${name}/${partition.partition}`;
  const was = known.get(key);
  if (!was) {
    known.set(key, { owner: partition.owner, before: null, changedMs: null, atMs: null });
    return { ...known.get(key), moved: false, isNews: false };
  }
  const isNews = was.owner !== null && partition.owner !== null && partition.owner !== was.owner;
  if (isNews) Object.assign(was, { before: was.owner, changedMs: performance.now(), atMs });
  was.owner = partition.owner ?? was.owner;
  return { ...was, moved: was.changedMs !== null && performance.now() - was.changedMs < MARKED_MS, isNews };
}

/** Gives what has changed hands just now, in words. */
export function drawLag(seen, pipeline) {
  const { lag } = pipeline;
  put(find("lag-when"), lag.measured_ms === null ? "not measured yet" : `measured ${clock(lag.measured_ms)}`);
  tell(find("lag-said"), lag.said === pipeline.said ? "" : lag.said); // what is on top already is not said twice
  const most = Math.max(1, ...lag.partitions.map((one) => one.lag));
  const taken = [];
  show(find("partitions"), lag.partitions.length > 0);
  keep(find("partitions").tBodies[0], lag.partitions, {
    key: (one) => `${pipeline.name}/${one.partition}`,
    make: row,
    update: (node, one) => {
      const owner = follow(pipeline.name, one, lag.measured_ms ?? seen.at_ms);
      if (owner.isNews) taken.push(`Partition ${one.partition} went from ${owner.before} to ${owner.owner}.`);
      fill(node, one, owner, { most, rebalancing: lag.rebalancing });
    },
  });
  return taken;
}

function row() {
  const track = element("span", { name: "track" }, element("span"));
  const owner = element("td", { name: "text" }, element("span"), element("span", { name: "was" }));
  return element(
    "tr",
    {},
    element("th", { name: "number", scope: "row" }),
    owner,
    element("td", { name: "number" }),
    element("td", { name: "bar-cell" }, track),
    element("td", { name: "number" }),
  );
}

function fill(node, one, owner, { most, rebalancing }) {
  const [partition, who, lag, bar, behind] = node.cells;
  node.classList.toggle("moved", owner.moved);
  put(partition, String(one.partition));
  const alone = one.owner === null;
  const name = who.firstElementChild;
  put(name, alone ? (rebalancing ? "moving to another owner" : "nobody: not scored") : one.owner);
  name.className = alone ? "level" : "";
  mark(name, "data-level", alone ? (rebalancing ? "warning" : "critical") : null);
  mark(who, "title", one.host === null ? null : `on ${one.host}`);
  put(who.lastElementChild, said(one, owner));
  put(lag, one.exact ? count(one.lag) : `≤ ${count(one.lag)}`);
  bar.firstElementChild.firstElementChild.style.transform = `scaleX(${one.lag / most})`;
  put(behind, one.lag ? span(one.seconds_behind_append) : one.committed === null && one.end ? UNKNOWN : "0 s");
}

function said(one, owner) {
  const words = [];
  if (owner.before !== null) words.push(`taken over from ${owner.before} at ${clock(owner.atMs)}`);
  if (one.held) words.push(`${count(one.held)} held back by an open transaction for ${span(one.held_seconds)}`);
  return words.join("; ");
}
