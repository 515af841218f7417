import { reportClient } from "./client.ts";
import type { ReportData } from "./data.ts";
import { style } from "./style.ts";

/** One self-contained HTML page: the data as JSON, a style sheet and a script; it asks nothing of the network. */
export function reportHtml(data: ReportData): string {
  const json = JSON.stringify(data, (_, value) => (typeof value === "number" ? round(value) : value));
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:">
<title>${escapeHtml(data.title)}</title>
<style>${style}</style>
</head>
<body>
<main id="report"><noscript>This report draws itself with a script: allow it to run.</noscript></main>
<div id="tip" role="status"></div>
<script type="application/json" id="data">${json.replaceAll("<", "\\u003c")}</script>
<script>(${reportClient.toString()})();</script>
</body>
</html>
`;
}

/** Five significant digits are more than a picture shows, and halve the file. */
function round(value: number): number {
  return Number.isInteger(value) ? value : Number(value.toPrecision(5));
}

function escapeHtml(text: string): string {
  return text.replace(/[&<>"]/g, (c) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" })[c] ?? c);
}
