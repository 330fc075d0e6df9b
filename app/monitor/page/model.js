// Whether the model is still right: its scores and features against training, and its quality as outcomes come in.

import { byDay, histogram } from "./charts.js";
import { element, find, keep, mark, put, rows, show, tell } from "./dom.js";
import { count, counted, fixed, moment, percent, value } from "./format.js";
import { keys } from "./pace.js";
import { newestJudged } from "./verdict.js";

const FULL_PSI = 0.5;
const STATES = {
  steady: ["ok", "steady"],
  moving: ["warning", "moving"],
  drifted: ["critical", "drifted"],
  "too-few": ["quiet", "too few yet"],
  "no-reference": ["quiet", "no reference"],
};
const charts = {};
let shownEdges = [];
let shownDays = [];

export function drawModel(pipeline) {
  const scored = pipeline.kind === "score";
  show(find("scores-panel"), scored);
  show(find("drift-panel"), scored);
  show(find("quality-panel"), scored);
  show(find("calibration-panel"), scored);
  show(find("hits-panel"), pipeline.kind === "ranker");
  if (scored) {
    drawScores(pipeline.scores);
    drawDrift(pipeline);
    drawQuality(pipeline);
    drawCalibration(pipeline);
  }
  if (pipeline.kind === "ranker") drawHits(pipeline);
}

// -- scores ---------------------------------------------------------------------------------------------------------

function drawScores(scores) {
  const bins = scores?.drift.count ? scores.drift.bins : null;
  for (const id of ["scores", "scores-keys", "scores-when", "scores-change"]) show(find(id), bins !== null);
  show(find("scores-none"), bins === null);
  show(find("scores-table").closest("details"), bins !== null);
  if (bins) drawBins(scores, bins);
}

function drawBins({ days, drift, change }, bins) {
  put(find("scores-when"), `newest ${counted(days, "day")} of events, ${counted(drift.count, "score")}, PSI ${fixed(drift.psi, 2)} (${STATES[drift.state][1]})`);
  put(find("scores-change"), change ? `The mean score went from ${fixed(change.before, 4)} to ${fixed(change.after, 4)} about ${moment(change.event_time_ms)}.` : "");
  shownEdges = namesOf(bins.edges);
  charts.scores ??= histogram(find("scores"), () => shownEdges);
  keys("scores-keys", [["bars", "now"], ...(bins.reference ? [["outlines", "in training"]] : [])]);
  const most = bins.shares.indexOf(Math.max(...bins.shares));
  const label = `Scores now against training. Most are ${shownEdges[most]}: ${percent(bins.shares[most])} now, ${percent(bins.reference?.[most])} in training.`;
  charts.scores.draw([bins.shares.map((_, index) => index), bins.shares, bins.reference ?? bins.shares.map(() => null)], label);
  rows(find("scores-table"), bins.shares.map((share, index) => ({ share, index })), {
    key: (one) => one.index,
    cells: ({ share, index }) => [shownEdges[index], percent(share, 2), percent(bins.reference?.[index], 2)],
  });
}

const namesOf = (edges) => [...edges.map((edge) => `≤ ${short(edge)}`), `> ${short(edges.at(-1))}`];
const short = (edge) => String(Number(edge.toPrecision(2)));

// -- drift ----------------------------------------------------------------------------------------------------------

function drawDrift(pipeline) {
  tell(find("drift-said"), pipeline.drift_said);
  show(find("drift"), pipeline.drift.length > 0);
  keep(find("drift").tBodies[0], pipeline.drift, {
    key: (one) => one.name,
    make: () =>
      element(
        "tr",
        {},
        element("th", { name: "text", scope: "row" }),
        element("td", {}, element("span", { name: "level" })),
        element("td", { name: "bar-cell" }, element("span", { name: "track" }, element("span"))),
        element("td", { name: "number" }),
        element("td", { name: "number" }),
        element("td", { name: "number" }),
      ),
    update: fillDrift,
  });
}

function fillDrift(row, one) {
  const [name, state, bar, psi, mean, reference] = row.cells;
  const [level, words] = STATES[one.state];
  put(name, one.name);
  mark(state.firstElementChild, "data-level", level);
  put(state.firstElementChild, words);
  mark(bar.firstElementChild, "data-level", level);
  bar.firstElementChild.firstElementChild.style.transform = `scaleX(${Math.min(1, (one.psi ?? 0) / FULL_PSI)})`;
  put(psi, fixed(one.psi, 3));
  put(mean, value(one.mean));
  put(reference, value(one.reference_mean));
}

// -- quality --------------------------------------------------------------------------------------------------------

function drawQuality(pipeline) {
  const { quality, labels } = pipeline;
  const judged = quality.filter((day) => day.labelled > 0);
  shownDays = judged.map((day) => day.day.slice(5));
  for (const id of ["quality", "quality-keys", "quality-table"]) show(find(id), judged.length > 0);
  show(find("quality-none"), judged.length === 0);
  put(find("labels-said"), labels ? labelsSaid(labels) : "");
  if (!judged.length) return;
  const last = newestJudged(pipeline) ?? judged.at(-1);
  charts.quality ??= byDay(find("quality"), ["one", "two", "three"], () => shownDays);
  keys("quality-keys", [
    ["one", "recall", fixed(last.recall, 2)],
    ["two", "precision", fixed(last.precision, 2)],
    ["three", "average precision", fixed(last.average_precision, 2)],
  ]);
  charts.quality.draw(
    [judged.map((_, index) => index), ...["recall", "precision", "average_precision"].map((name) => judged.map((day) => day[name]))],
    `Quality by day, ${judged[0].day} to ${judged.at(-1).day}. On ${last.day}: recall ${fixed(last.recall, 2)}, precision ${fixed(last.precision, 2)}, average precision ${fixed(last.average_precision, 2)}.`,
  );
  rows(find("quality-table"), judged.toReversed(), {
    key: (day) => day.day,
    cells: (day) => [
      day.day,
      fixed(day.recall, 2),
      fixed(day.precision, 2),
      fixed(day.average_precision, 2),
      percent(day.mean_score, 2),
      percent(day.positive_share, 2),
      count(day.labelled),
      count(day.waiting),
    ],
  });
}

function labelsSaid(labels) {
  const odd = [
    [labels.without_prediction, "without a prediction"],
    [labels.twice, "twice"],
    [labels.years_late, "a year late or more"],
    [labels.malformed, "malformed"],
  ].filter(([number]) => number);
  const rest = odd.length ? ` Not joined: ${odd.map(([number, words]) => `${count(number)} ${words}`).join(", ")}.` : "";
  return `${counted(labels.read, "outcome")} read from ${labels.topic}, ${count(labels.joined)} joined with a kept prediction.${rest}`;
}

function drawCalibration(pipeline) {
  const day = newestJudged(pipeline);
  const bins = day?.calibration ?? [];
  put(find("calibration-when"), day ? day.day : "");
  show(find("calibration"), bins.length > 0);
  show(find("calibration-none"), bins.length === 0);
  keep(find("calibration").tBodies[0], bins, {
    key: (bin) => bin.low,
    make: () =>
      element(
        "tr",
        {},
        element("th", { name: "line", scope: "row" }),
        element("td", { name: "number" }),
        element("td", { name: "number" }),
        element("td", { name: "bar-cell" }, element("span", { name: "track" }, element("span"))),
        element("td", { name: "number" }),
      ),
    update: (row, bin) => {
      const [range, said, was, bar, weight] = row.cells;
      put(range, `${value(bin.low)}–${value(bin.high)}`);
      put(said, percent(bin.mean_score));
      put(was, percent(bin.positive_share));
      bar.firstElementChild.firstElementChild.style.transform = `scaleX(${bin.positive_share})`;
      put(weight, count(bin.weight));
    },
  });
}

function drawHits({ hits }) {
  const followed = hits.filter((day) => day.followed > 0);
  show(find("hits"), followed.length > 0);
  show(find("hits-none"), followed.length === 0);
  rows(find("hits"), followed.toReversed(), {
    key: (day) => day.day,
    cells: (day) => [day.day, percent(day.rate), count(day.hits), count(day.followed)],
  });
}
