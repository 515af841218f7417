/** The report's style sheet: one column, system fonts, light and dark by the reader's setting. */
export const style: string = `
:root { color-scheme: light dark; --bg: #fbfaf8; --card: #fff; --ink: #1c1b1a; --soft: #6d6a66; --line: #e4e0da; --accent: #b4461f; --cool: #2f6f9f; --warm: #d9692a; --none: #f1eee9; }
@media (prefers-color-scheme: dark) { :root { --bg: #161514; --card: #1f1e1c; --ink: #ebe8e3; --soft: #a09b94; --line: #37342f; --accent: #f08a5d; --cool: #5aa2d6; --warm: #f08a4b; --none: #2a2825; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--bg); color: var(--ink); font: 16px/1.55 ui-sans-serif, system-ui, "Segoe UI", sans-serif; }
main { max-width: 1080px; margin: 0 auto; padding: 40px 24px 96px; }
h1 { font-size: 30px; line-height: 1.2; margin: 0 0 8px; letter-spacing: -0.015em; }
h2 { font-size: 20px; margin: 48px 0 4px; letter-spacing: -0.01em; }
p.headline { font-size: 18px; margin: 0 0 24px; color: var(--ink); max-width: 60em; }
p.about { margin: 0 0 14px; color: var(--soft); max-width: 66em; font-size: 14.5px; }
.facts { display: grid; grid-template-columns: repeat(auto-fill, minmax(150px, 1fr)); gap: 10px; }
.fact { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 10px 14px; }
.fact b { display: block; font-size: 21px; font-variant-numeric: tabular-nums; line-height: 1.3; }
.fact span { color: var(--soft); font-size: 12.5px; display: block; line-height: 1.35; }
.notice { border-left: 4px solid var(--accent); background: var(--card); padding: 8px 14px; margin: 12px 0; border-radius: 0 8px 8px 0; }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 12px; padding: 16px 18px; }
.scroll { overflow-x: auto; }
svg text { fill: var(--soft); font: 12px ui-sans-serif, system-ui, sans-serif; }
svg .axis { stroke: var(--line); stroke-width: 1; }
svg .line { fill: none; stroke-width: 2; stroke-linejoin: round; }
svg .faint { opacity: 0.32; stroke-width: 1.2; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 14px; width: 100%; }
th { font-weight: 600; color: var(--soft); text-align: right; padding: 4px 8px; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
td { text-align: right; padding: 4px 8px; border-top: 1px solid var(--line); white-space: nowrap; }
td.cell { border: 2px solid var(--card); border-radius: 6px; min-width: 62px; }
td.tokens { text-align: left; white-space: normal; }
.chip { display: inline-block; font: 12.5px ui-monospace, "SF Mono", Menlo, monospace; border: 1px solid var(--line); border-radius: 5px; padding: 0 5px; margin: 1px 3px 1px 0; white-space: pre; }
.dot { display: inline-block; width: 11px; height: 11px; border-radius: 3px; margin-right: 6px; vertical-align: -1px; }
.tabs { position: sticky; top: 0; z-index: 3; background: var(--bg); padding: 10px 0; margin: 36px 0 0; display: flex; gap: 6px; align-items: center; flex-wrap: wrap; border-bottom: 1px solid var(--line); }
.tabs + h2 { margin-top: 20px; }
button { font: inherit; font-size: 14px; color: var(--ink); background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: 4px 12px; cursor: pointer; }
button:hover { border-color: var(--soft); }
button:focus-visible { outline: 2px solid var(--accent); outline-offset: 1px; }
button[aria-pressed="true"] { background: var(--ink); color: var(--bg); border-color: var(--ink); }
.legend { display: flex; flex-wrap: wrap; gap: 6px; margin: 0 0 12px; }
.legend button { padding: 2px 10px; font-size: 13px; }
.passage { font: 15px/2.0 ui-monospace, "SF Mono", Menlo, monospace; white-space: pre-wrap; overflow-wrap: anywhere; }
.passage span { border-radius: 4px; padding: 2px 0; cursor: default; color: #161412; }
.passage span.dim { background: none !important; color: var(--soft); }
.passage span:hover { outline: 2px solid var(--ink); }
.sample { font: 15px/1.7 ui-monospace, "SF Mono", Menlo, monospace; white-space: pre-wrap; overflow-wrap: anywhere; }
.sample b { font-weight: 700; }
#tip { position: fixed; pointer-events: none; z-index: 9; background: var(--ink); color: var(--bg); border-radius: 8px; padding: 8px 11px; font-size: 13px; line-height: 1.45; max-width: 340px; display: none; white-space: pre-wrap; font-variant-numeric: tabular-nums; }
canvas { display: block; border-radius: 6px; width: 100%; image-rendering: pixelated; }
.heat { display: grid; grid-template-columns: auto 1fr; gap: 4px 12px; align-items: center; margin-bottom: 14px; }
.heat label { font-size: 13px; color: var(--soft); white-space: nowrap; }
.scale { display: flex; align-items: center; gap: 8px; color: var(--soft); font-size: 13px; }
.scale i { width: 160px; height: 10px; border-radius: 5px; background: linear-gradient(90deg, var(--cool), var(--none), var(--warm)); }
footer { margin-top: 56px; color: var(--soft); font-size: 13px; }
`;
