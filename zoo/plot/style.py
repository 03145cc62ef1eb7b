"""How the page looks: system fonts, cards that stand beside each other where there is room, dark mode."""

STYLE = """
:root { color-scheme: light dark; --ink: #222; --quiet: #666; --paper: #fff; --grid: #d0d0d0; --line: #e2e2e2;
  --warn: #fff6dd; --edge: #d39e00; --c0: #0072b2; --c1: #d55e00; --c2: #009e73; --c3: #cc79a7; --c4: #e69f00;
  --c5: #56b4e9; --c6: #000; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e6e6; --quiet: #a0a0a0; --paper: #17191c; --grid: #444;
  --line: #34373b; --warn: #33290d; --edge: #d39e00; --c0: #5a9bf5; --c1: #ff8640; --c2: #2fc99a; --c3: #e6a3c8;
  --c4: #ffc04d; --c5: #8adcff; --c6: #fff; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1rem; max-width: 76rem; background: var(--paper); color: var(--ink);
  font: 1rem/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: .5rem 0; overflow-wrap: anywhere; }
h2 { font-size: 1.2rem; margin: 0 0 .5rem; overflow-wrap: anywhere; }
section { margin-top: 2.2rem; }
a { color: inherit; }
p { max-width: 46rem; }
small, figcaption, .table + p, footer { color: var(--quiet); font-size: .875rem; }
.problems { background: var(--warn); border-left: .3rem solid var(--edge); padding: .8rem 1rem; margin-top: 1rem; }
.problems ul { margin: 0 0 .3rem; padding-left: 1.2rem; overflow-wrap: anywhere; }
.fine { color: var(--quiet); }
.cards { display: grid; margin-top: 1.2rem; gap: 1.5rem 2.5rem;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 28rem), 1fr)); }
.cards > * { min-width: 0; }
figure { margin: 0 0 1rem; }
figcaption { margin-top: .4rem; max-width: 34rem; }
figure svg { display: block; width: 100%; height: auto; max-width: 34rem; }
figure svg * { stroke-linejoin: round; }
.table { overflow-x: auto; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
th, td { padding: .35rem .7rem .35rem 0; text-align: left; vertical-align: top; border-bottom: 1px solid var(--line); }
th { font-weight: 600; min-width: 3rem; }
td { white-space: nowrap; }
.name { display: inline-block; max-width: 11rem; white-space: normal; overflow-wrap: break-word; }
.dot { display: inline-block; width: .7em; height: .7em; border-radius: 50%; margin-right: .4em; }
code { font-size: .85em; overflow-wrap: anywhere; }
summary { cursor: pointer; }
footer { margin-top: 3rem; border-top: 1px solid var(--line); }
"""
