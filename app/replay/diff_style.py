"""How the page of a difference looks: light and dark as the reader's system is, on paper, and on a narrow screen.

Blue and orange are told apart by everybody; both reach 4.5:1 as letters on their background, 3:1 as shapes.
"""

from __future__ import annotations

STYLE = """
:root { color-scheme: light dark; --paper: #fff; --ink: #1a1d21; --soft: #5a626c; --line: #d9dde2; --faint: #f4f6f8;
  --up: #b84a00; --down: #0a62a8; --same: #8a939d; --bad: #a4123f; --good: #1c6b3c; --old: #c3cad2; --new: #0a62a8; }
@media (prefers-color-scheme: dark) { :root { --paper: #14171a; --ink: #e7eaed; --soft: #a4adb7; --line: #343a41;
  --faint: #1d2125; --up: #f0a04b; --down: #6cb6f5; --same: #7d8791; --bad: #ff8fa8; --good: #7fd3a0; --old: #4b545e;
  --new: #6cb6f5; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.25rem 1rem 4rem; max-width: 60rem; background: var(--paper); color: var(--ink);
  font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: break-word; }
bdi, code { overflow-wrap: anywhere; }
h1 { font-size: 1.6rem; line-height: 1.2; margin: 0 0 .25rem; }
h2 { font-size: 1.2rem; margin: 2.5rem 0 .5rem; }
h3 { font-size: 1rem; margin: 1.5rem 0 .25rem; }
p { margin: .25rem 0 .75rem; max-width: 46rem; }
.soft, .lead, figcaption, th { color: var(--soft); }
.verdict { border-left: .4rem solid var(--good); background: var(--faint); padding: .75rem 1rem; margin: 1.25rem 0; }
.verdict p:last-child { margin-bottom: .1rem; }
.verdict.bad { border-color: var(--bad); }
.verdict strong { color: var(--good); }
.verdict.bad strong { color: var(--bad); }
.facts { display: grid; grid-template-columns: repeat(auto-fit, minmax(9rem, 1fr)); gap: .75rem; margin: 1rem 0;
  padding: 0; list-style: none; }
.facts li { background: var(--faint); padding: .6rem .8rem; border-radius: .3rem; }
.facts b { display: block; font-size: 1.5rem; line-height: 1.2; font-variant-numeric: tabular-nums; }
.scroll { overflow-x: auto; }
.scroll table { min-width: 36rem; }
table { border-collapse: collapse; width: 100%; font-size: .925rem; }
caption { text-align: left; font-weight: 600; padding: 1rem 0 .25rem; }
th, td { text-align: left; padding: .25rem .6rem .25rem 0; vertical-align: middle; border-bottom: 1px solid var(--line);
  font-weight: 400; }
thead th { vertical-align: bottom; font-size: .85rem; }
thead .n { white-space: normal; }
tbody th { color: var(--ink); }
.n { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }
.picture { width: 40%; min-width: 6rem; } .scroll .picture { width: 20%; }
svg { display: block; width: 100%; }
svg.bar { height: .8rem; } svg.slope { height: 1rem; } svg.stacked { height: 1.6rem; } svg.columns { height: 12rem; }
.up { fill: var(--up); } .down { fill: var(--down); } .same, .identical { fill: var(--same); }
.axis, .track { fill: var(--line); } .was { fill: var(--ink); }
.old { fill: var(--old); } .new { fill: var(--new); }
.by_model { fill: var(--down); } .expected { fill: var(--up); } .unexpected, .missing, .lost { fill: var(--bad); }
.letters { fill: var(--old); } .gained { fill: var(--good); }
.threshold { stroke: var(--ink); stroke-width: 1.5; vector-effect: non-scaling-stroke; fill: none; }
.threshold.old { stroke-dasharray: 4 4; }
.scale { display: flex; justify-content: space-between; border-top: 1px solid var(--line); font-size: .85rem;
  color: var(--soft); }
figure { margin: .75rem 0; }
.key { display: inline-block; width: .9rem; height: .9rem; vertical-align: -.1rem; margin-right: .35rem; }
.key svg { height: 100%; }
details { border-bottom: 1px solid var(--line); }
summary { cursor: pointer; padding: .45rem .2rem; }
summary:focus-visible, .scroll:focus-visible { outline: 3px solid var(--down); outline-offset: 2px; }
details > :not(summary) { margin-left: 1rem; }
.mover { display: inline-grid; grid-template-columns: minmax(9rem, 1.2fr) minmax(6rem, 1fr) minmax(11rem, 1fr);
  gap: .25rem .9rem; align-items: center; width: calc(100% - 1.4rem); vertical-align: middle; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1rem; margin: .5rem 0; }
dt { font-weight: 600; } dd { margin: 0; }
code { font-family: ui-monospace, monospace; font-size: .9em; }
@media (max-width: 36rem) { body { padding: .75rem .75rem 3rem; } h1 { font-size: 1.35rem; }
  .mover { grid-template-columns: 1fr; } dl { grid-template-columns: 1fr; } dd { margin: 0 0 .4rem; }
  .picture { width: 30%; min-width: 4rem; } svg.columns { height: 9rem; }
  .more, .scroll .picture { display: none; } .scroll table { min-width: 24rem; } }
@media print { body { max-width: none; } .scroll { overflow: visible; } }
"""
