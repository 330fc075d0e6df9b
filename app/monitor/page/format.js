// Numbers with their units and times with their zone, as text. What is not known is a dash.

export const UNKNOWN = "–";

const WHOLE = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

export const isKnown = (value) => typeof value === "number" && Number.isFinite(value);

export function count(value) {
  return isKnown(value) ? WHOLE.format(value) : UNKNOWN;
}

export function counted(value, one, many = `${one}s`) {
  return `${count(value)} ${value === 1 ? one : many}`;
}

export function fixed(value, digits) {
  return isKnown(value) ? value.toFixed(digits) : UNKNOWN;
}

/** What is there but would be rounded to nothing is said to be less than the least that is shown. */
export function percent(share, digits = 1) {
  if (!isKnown(share)) return UNKNOWN;
  const least = 10 ** -digits;
  const shown = share > 0 && 100 * share < least / 2 ? `< ${least.toFixed(digits)}` : (100 * share).toFixed(digits);
  return `${shown} %`;
}

export function rate(value) {
  return isKnown(value) ? `${value && value < 10 ? value.toFixed(1) : count(value)}/s` : UNKNOWN;
}

/** A span of time in its two largest units at most: 0.4 s, 12 s, 3 min 20 s, 2 h 5 min, 4 d. */
export function span(seconds) {
  if (!isKnown(seconds)) return UNKNOWN;
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return pair(Math.floor(whole / 60), "min", whole % 60, "s");
  if (whole < 86400) return pair(Math.floor(whole / 3600), "h", Math.floor((whole % 3600) / 60), "min");
  return pair(Math.floor(whole / 86400), "d", Math.floor((whole % 86400) / 3600), "h");
}

const pair = (large, largeUnit, small, smallUnit) =>
  small ? `${large} ${largeUnit} ${small} ${smallUnit}` : `${large} ${largeUnit}`;

/** Milliseconds as they are read best: 12 ms, 3.4 s. */
export function milliseconds(value) {
  if (!isKnown(value)) return UNKNOWN;
  return value < 1000 ? `${value < 10 ? value.toFixed(1) : count(value)} ms` : span(value / 1000);
}

// What no calendar has is said as the number that it is.
const iso = (ms) => (Math.abs(ms) <= 8.64e15 ? new Date(ms).toISOString() : null);

export function clock(ms) {
  if (!isKnown(ms)) return UNKNOWN;
  return iso(ms) ? `${iso(ms).slice(11, 19)} UTC` : `${ms} ms`;
}

export function moment(ms) {
  if (!isKnown(ms)) return UNKNOWN;
  return iso(ms) ? `${iso(ms).slice(0, 10)} ${iso(ms).slice(11, 19)} UTC` : `${ms} ms`;
}

/** A value of a feature: integers whole, shares with what is needed to tell them apart. */
export function value(number) {
  if (!isKnown(number)) return UNKNOWN;
  if (Number.isInteger(number)) return count(number);
  return Math.abs(number) >= 100 ? number.toFixed(1) : String(Number(number.toPrecision(4)));
}
