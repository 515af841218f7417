/** A line plot as SVG text: both axes logarithmic, legible on light and dark pages. */

const size = { width: 760, height: 420 };
const frame = { left: 70, right: 230, top: 36, bottom: 52 };
// Okabe and Ito's palette, told apart by colour-blind readers; dashes tell dtypes apart besides.
const colours = ["#0072b2", "#d55e00", "#009e73", "#cc79a7"];

/** `series`: [{ name, colour: index, dashed, points: [[x, y]...] }]. */
export function plot({ title, xLabel, yLabel, series }) {
  const points = series.flatMap((one) => one.points);
  const xs = [...new Set(points.map(([x]) => x))].sort((a, b) => a - b);
  const [low, high] = [Math.min(...points.map(([, y]) => y)), Math.max(...points.map(([, y]) => y))];
  const bottom = 10 ** Math.floor(Math.log10(low));
  const top = 10 ** Math.ceil(Math.log10(high));
  const inner = {
    width: size.width - frame.left - frame.right,
    height: size.height - frame.top - frame.bottom,
  };
  const share = (value, from, to) => (from === to ? 0.5 : Math.log(value / from) / Math.log(to / from));
  const px = (x) => frame.left + inner.width * share(x, xs[0], xs.at(-1));
  const py = (y) => frame.top + inner.height * (1 - share(y, bottom, top));
  const right = frame.left + inner.width;
  const base = frame.top + inner.height;

  const parts = [text(frame.left, 22, title, 'font-weight="600"')];
  for (let decade = bottom; decade <= top * 1.001; decade *= 10) {
    parts.push(line(frame.left, py(decade), right, py(decade), "#8888", 0.5));
    parts.push(text(frame.left - 8, py(decade) + 4, decade.toLocaleString("en-US"), 'text-anchor="end"'));
  }
  for (const x of xs) {
    parts.push(line(px(x), base, px(x), base + 5, "#888", 1));
    parts.push(text(px(x), base + 20, x.toLocaleString("en-US"), 'text-anchor="middle"'));
  }
  parts.push(text(frame.left + inner.width / 2, base + 42, xLabel, 'text-anchor="middle"'));
  parts.push(text(14, frame.top - 6, yLabel));
  series.forEach(({ name, colour, dashed, points: own }, i) => {
    const dash = dashed ? ' stroke-dasharray="6 4"' : "";
    const path = own
      .map(([x, y], j) => `${j === 0 ? "M" : "L"}${px(x).toFixed(1)} ${py(y).toFixed(1)}`)
      .join("");
    parts.push(`<path d="${path}" fill="none" stroke="${colours[colour]}" stroke-width="2"${dash}/>`);
    for (const [x, y] of own)
      parts.push(
        `<circle cx="${px(x).toFixed(1)}" cy="${py(y).toFixed(1)}" r="3" fill="${colours[colour]}"/>`,
      );
    const y = frame.top + 10 + 22 * i;
    parts.push(`<path d="M${right + 16} ${y}h26" stroke="${colours[colour]}" stroke-width="2"${dash}/>`);
    parts.push(text(right + 48, y + 4, name));
  });
  const open = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${size.width} ${size.height}" role="img" font-family="system-ui, sans-serif" font-size="13">`;
  const page = '<rect width="100%" height="100%" fill="#fff"/>';
  return `${open}<title>${escaped(title)}</title>${page}${parts.join("")}</svg>\n`;
}

function line(x1, y1, x2, y2, colour, width) {
  return `<path d="M${x1} ${y1.toFixed(1)}L${x2} ${y2.toFixed(1)}" stroke="${colour}" stroke-width="${width}"/>`;
}

function text(x, y, content, attributes = "") {
  return `<text x="${x}" y="${y.toFixed(1)}" fill="#222" ${attributes}>${escaped(content)}</text>`;
}

function escaped(content) {
  return content.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
}
