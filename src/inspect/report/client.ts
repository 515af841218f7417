import type { LayerFigures } from "../../moe/index.ts";
import type { ExpertProfile, Specialisation } from "../specialise.ts";
import type { Curve, Passage, ReportData } from "./data.ts";

/**
 * Draws the report in the reader's browser. Its source text is put into the page, so it may use nothing from outside itself but
 * the DOM (types vanish).
 */
export function reportClient(): void {
  const data = JSON.parse(document.getElementById("data")?.textContent ?? "{}") as ReportData;
  const page = document.getElementById("report") as HTMLElement;
  const tip = document.getElementById("tip") as HTMLElement;
  const redraw: (() => void)[] = [];
  // It opens at the layer whose experts tell most about domain and kind of token: there is most to see.
  const told = (data.specialisation?.layers ?? []).map(({ domainBits, kindBits }) => domainBits + kindBits);
  let layer = Math.max(0, told.indexOf(Math.max(...told)));
  let chosen = -1;

  const el = (
    tag: string,
    attributes: Record<string, string> = {},
    ...children: (Node | string)[]
  ): HTMLElement => {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
    node.append(...children);
    return node;
  };
  const svg = (tag: string, attributes: Record<string, string | number>, text = ""): SVGElement => {
    const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, String(value));
    if (text) node.textContent = text;
    return node;
  };
  const percent = (share: number) => (share * 100).toFixed(share < 0.0995 ? 1 : 0) + " %";
  const hue = (expert: number, experts: number) => ((expert * 360) / experts + 25) % 360;
  const colour = (expert: number, experts: number, alpha = 1) =>
    `oklch(${experts > 12 && expert % 2 ? 0.7 : 0.8} 0.13 ${hue(expert, experts)} / ${alpha})`;

  const showTip = (event: MouseEvent, text: string) => {
    tip.textContent = text;
    tip.style.display = "block";
    const { width, height } = tip.getBoundingClientRect();
    tip.style.left = Math.max(8, Math.min(event.clientX + 14, innerWidth - width - 8)) + "px";
    tip.style.top =
      (event.clientY + 18 + height > innerHeight ? event.clientY - height - 12 : event.clientY + 18) + "px";
  };
  const hideTip = () => {
    tip.style.display = "none";
  };
  const section = (title: string, about: string, ...content: Node[]) => {
    page.append(el("h2", {}, title), el("p", { class: "about" }, about), ...content);
  };

  const header = () => {
    page.append(el("h1", {}, data.title), el("p", { class: "headline" }, data.headline));
    const facts = el("div", { class: "facts" });
    for (const { label, value, note } of data.facts) {
      facts.append(
        el("div", { class: "fact" }, el("b", {}, value), el("span", {}, label), el("span", {}, note ?? "")),
      );
    }
    page.append(facts);
    for (const notice of data.notices) page.append(el("div", { class: "notice" }, notice));
  };

  const smooth = (points: Curve["train"]): [number, number][] => {
    const width = Math.max(1, Math.round(points.length / 60));
    return points.map(([step], i) => {
      const near = points.slice(Math.max(0, i - width), i + width + 1);
      return [step, near.reduce((sum, p) => sum + p[1], 0) / near.length];
    });
  };

  /** The 1, 2 or 5 times a power of ten next above `rough`. */
  const niceStep = (rough: number): number => {
    const power = 10 ** Math.floor(Math.log10(rough));
    return power * ([1, 2, 5].find((n) => n * power >= rough) ?? 10);
  };

  const curves = () => {
    // About a unit a pixel: what is scaled down to a phone cannot be read.
    const width = Math.max(300, Math.min(1000, page.clientWidth - 86));
    const height = Math.min(340, 180 + width * 0.16);
    const left = 46;
    const bottom = 34;
    const lines = data.curves.map((curve) => ({ ...curve, smooth: smooth(curve.train) }));
    const lastStep = Math.max(1, ...lines.flatMap((c) => c.train.map((p) => p[0])));
    // The first steps fall from far above; the picture is about the rest.
    const values = lines.flatMap((c) =>
      [...c.smooth.slice(Math.floor(c.smooth.length / 25)), ...c.heldOut].map((p) => p[1]),
    );
    const low = Math.min(...values);
    const high = Math.max(...values);
    const pad = (high - low) * 0.06 || 0.1;
    const x = (step: number) => left + (step / lastStep) * (width - left - 90);
    const y = (value: number) =>
      12 + ((high + pad - value) / (high - low + 2 * pad)) * (height - bottom - 12);
    const chart = svg("svg", {
      viewBox: `0 0 ${width} ${height}`,
      width: "100%",
      role: "img",
      "aria-label": "learning curves",
    });
    const tick = niceStep((high - low) / 5);
    for (let value = Math.ceil(low / tick) * tick; value <= high + pad; value += tick) {
      chart.append(svg("line", { class: "axis", x1: left, x2: width - 90, y1: y(value), y2: y(value) }));
      chart.append(
        svg(
          "text",
          { x: left - 8, y: y(value) + 4, "text-anchor": "end" },
          value.toFixed(tick < 0.1 ? 2 : 1),
        ),
      );
    }
    for (let step = 0; step <= lastStep; step += Math.max(1, niceStep(lastStep / Math.min(6, width / 110)))) {
      chart.append(svg("text", { x: x(step), y: height - 12, "text-anchor": "middle" }, String(step)));
    }
    chart.append(svg("text", { x: width - 90, y: height - 12, dx: 34 }, "steps"));
    const colours = ["var(--warm)", "var(--cool)", "var(--soft)"];
    const path = (points: readonly (readonly [number, number])[]) =>
      points
        .map(
          ([step, value], i) =>
            `${i ? "L" : "M"}${x(step).toFixed(1)} ${y(Math.min(value, high + pad)).toFixed(1)}`,
        )
        .join("");
    lines.forEach((curve, i) => {
      chart.append(svg("path", { class: "line faint", d: path(curve.smooth), stroke: colours[i] }));
      chart.append(svg("path", { class: "line", d: path(curve.heldOut), stroke: colours[i] }));
      for (const [step, value] of curve.heldOut) {
        chart.append(
          svg("circle", { cx: x(step), cy: y(Math.min(value, high + pad)), r: 3.5, fill: colours[i] }),
        );
      }
    });
    // End labels, pushed apart where the curves end close together.
    const ends = lines.flatMap((c, i) =>
      c.heldOut.length ? [{ i, name: c.name, value: c.heldOut[c.heldOut.length - 1][1] }] : [],
    );
    ends.sort((a, b) => b.value - a.value);
    let above = -100;
    for (const { i, name, value } of ends) {
      above = Math.max(y(value) + 4, above + 16);
      const text = svg(
        "text",
        { x: width - 82, y: above, "font-weight": 600 },
        `${name} ${value.toFixed(3)}`,
      );
      text.style.fill = colours[i];
      chart.append(text);
    }
    const cursor = svg("line", { class: "axis", y1: 12, y2: height - bottom, x1: -9, x2: -9 });
    chart.append(cursor);
    chart.addEventListener("mousemove", (event) => {
      const box = chart.getBoundingClientRect();
      const at =
        ((((event as MouseEvent).clientX - box.left) / box.width) * width - left) / (width - left - 90);
      const step = Math.round(Math.min(1, Math.max(0, at)) * lastStep);
      cursor.setAttribute("x1", String(x(step)));
      cursor.setAttribute("x2", String(x(step)));
      const nearest = (points: readonly (readonly [number, number])[]) =>
        points.reduce((best, p) => (Math.abs(p[0] - step) < Math.abs(best[0] - step) ? p : best));
      const rows = lines.map((c) => {
        const train = c.smooth.length ? nearest(c.smooth)[1].toFixed(3) : "-";
        const held = c.heldOut.length ? nearest(c.heldOut) : null;
        return (
          `${c.name}: train ${train}` + (held ? `, held-out ${held[1].toFixed(3)} at step ${held[0]}` : "")
        );
      });
      showTip(event as MouseEvent, [`step ${step}`, ...rows].join("\n"));
    });
    chart.addEventListener("mouseleave", hideTip);
    section(
      "Learning curves",
      "Bits per byte: lower is better. Faint: training, smoothed. Strong, with dots: held-out text.",
      el("div", { class: "card" }, chart),
    );
  };

  /** Text stays readable on at most this much colour, in percent. */
  const legible = 62;
  /** Cool below an even share, neutral at it, warm above. `ratio` is share times the number of experts. */
  const heatColour = (ratio: number, strongest = 100): string => {
    const strength = Math.min(1, Math.abs(Math.log2(Math.max(ratio, 1 / 16))) / 1.6);
    return `color-mix(in oklab, var(${ratio < 1 ? "--cool" : "--warm"}) ${Math.round(strength * strongest)}%, var(--none))`;
  };
  const resolve = (css: string): string => {
    const probe = el("i", { style: `color:${css}` });
    page.append(probe);
    const value = getComputedStyle(probe).color;
    probe.remove();
    return value;
  };

  const loadHeat = () => {
    const holder = el("div", { class: "heat" });
    const shades = Array.from({ length: 65 }, (_, i) => 2 ** ((i - 32) / 20));
    const drawAll: (() => void)[] = [];
    data.load.forEach((load, l) => {
      const experts = load.shares[0]?.length ?? 0;
      const canvas = el("canvas", {
        width: String(load.steps.length),
        height: String(experts),
      }) as HTMLCanvasElement;
      canvas.style.height = Math.max(56, Math.min(12 * experts, 220)) + "px";
      drawAll.push(() => {
        const colours = shades.map((ratio) => resolve(heatColour(ratio)));
        const draw = canvas.getContext("2d");
        if (!draw) return;
        load.shares.forEach((shares, column) => {
          shares.forEach((share, expert) => {
            const level = Math.round(Math.log2(Math.max(share * experts, 1e-3)) * 20) + 32;
            draw.fillStyle = colours[Math.max(0, Math.min(64, level))];
            draw.fillRect(column, expert, 1, 1);
          });
        });
      });
      canvas.addEventListener("mousemove", (event) => {
        const box = canvas.getBoundingClientRect();
        const column = Math.min(
          load.steps.length - 1,
          Math.floor(((event.clientX - box.left) / box.width) * load.steps.length),
        );
        const expert = Math.min(experts - 1, Math.floor(((event.clientY - box.top) / box.height) * experts));
        if (column < 0 || expert < 0) return;
        const share = load.shares[column][expert];
        showTip(
          event,
          `layer ${data.layerNumbers[l]}, expert ${expert}\nfrom step ${load.steps[column]}: ${percent(share)} of places\n${(share * experts).toFixed(2)} x an even share`,
        );
      });
      canvas.addEventListener("mouseleave", hideTip);
      holder.append(el("label", {}, `layer ${data.layerNumbers[l]}`), canvas);
    });
    const scale = el("div", { class: "scale" }, "idle", el("i"), "overloaded (3x)");
    section(
      "Load of each expert over time",
      "One strip a layer, one row an expert, time to the right. Grey is an even share; blue experts are idle, orange ones overloaded. A row that stays blue is an expert that collapsed.",
      el("div", { class: "card" }, holder, scale),
    );
    const drawHeat = () => {
      for (const draw of drawAll) draw();
    };
    drawHeat();
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawHeat);
  };

  const layerTabs = (layers: number) => {
    const bar = el("div", { class: "tabs" }, "Layer");
    const buttons = Array.from({ length: layers }, (_, l) =>
      el("button", { type: "button" }, String(data.layerNumbers[l])),
    );
    buttons.forEach((button, l) => {
      button.addEventListener("click", () => {
        layer = l;
        for (const draw of redraw) draw();
      });
    });
    redraw.push(() => {
      for (const [l, button] of buttons.entries()) button.setAttribute("aria-pressed", String(l === layer));
    });
    bar.append(...buttons);
    page.append(bar);
  };

  const shareTable = (
    title: string,
    about: (spec: Specialisation) => string,
    spec: Specialisation,
    names: readonly string[],
    base: readonly number[],
    pick: (expert: ExpertProfile) => readonly number[],
  ) => {
    const holder = el("div", { class: "card scroll" });
    const text = el("p", { class: "about" });
    redraw.push(() => {
      text.textContent = about(spec);
      const { experts } = spec.layers[layer];
      const table = el(
        "table",
        {},
        el("tr", {}, ...["expert", "load", ...names].map((n) => el("th", {}, n))),
      );
      experts.forEach((expert, e) => {
        const label = el(
          "td",
          {},
          el("i", { class: "dot", style: `background:${colour(e, experts.length)}` }),
          String(e),
        );
        const line = el("tr", {}, label, el("td", {}, percent(expert.share)));
        pick(expert).forEach((share, i) => {
          const ratio = base[i] > 0 ? share / base[i] : 1;
          const cell = el(
            "td",
            { class: "cell", style: `background:${expert.count ? heatColour(ratio, legible) : "none"}` },
            percent(share),
          );
          cell.addEventListener("mousemove", (event) =>
            showTip(
              event,
              `expert ${e}: ${percent(share)} of its tokens are ${names[i]}\n${ratio.toFixed(2)} x their share of all text`,
            ),
          );
          cell.addEventListener("mouseleave", hideTip);
          line.append(cell);
        });
        table.append(line);
      });
      const all = el(
        "tr",
        {},
        el("td", {}, "all text"),
        el("td", {}, ""),
        ...base.map((share) => el("td", {}, percent(share))),
      );
      table.append(all);
      holder.replaceChildren(table);
    });
    page.append(el("h2", {}, title), text, holder);
  };

  const typicalTokens = (spec: Specialisation) => {
    const holder = el("div", { class: "card scroll" });
    redraw.push(() => {
      const { experts } = spec.layers[layer];
      const table = el(
        "table",
        {},
        el(
          "tr",
          {},
          el("th", {}, "expert"),
          el("th", { style: "text-align:left" }, "its most typical tokens"),
        ),
      );
      experts.forEach((expert, e) => {
        const cell = el("td", { class: "tokens" });
        for (const token of expert.typical) {
          const chip = el(
            "span",
            { class: "chip", style: `border-color:${colour(e, experts.length)}` },
            visible(token.text),
          );
          chip.addEventListener("mousemove", (event) =>
            showTip(
              event,
              `taken ${token.count} times by expert ${e}\n${token.lift.toFixed(1)} x what its load would say`,
            ),
          );
          chip.addEventListener("mouseleave", hideTip);
          cell.append(chip);
        }
        if (!expert.typical.length) cell.append("none");
        const label = el(
          "td",
          {},
          el("i", { class: "dot", style: `background:${colour(e, experts.length)}` }),
          String(e),
        );
        table.append(el("tr", {}, label, cell));
      });
      holder.replaceChildren(table);
    });
    section(
      "Typical tokens",
      "What each expert takes more often than its load would say (log-likelihood ratio), most surprising first. A dot is a space.",
      holder,
    );
  };
  const visible = (text: string) =>
    text.replaceAll(" ", "\u00b7").replaceAll("\n", "\u21b5").replaceAll("\t", "\u21e5");

  const passage = (item: Passage): Node => {
    const text = el("div", { class: "passage" });
    const spans = item.tokens.map((token, t) => {
      const span = el("span", {}, token);
      span.addEventListener("mousemove", (event) => {
        const lines = item.routes.map((routes, l) => {
          const picks = routes[t].map(([expert, weight]) =>
            expert < 0 ? "dropped" : `expert ${expert} (${weight.toFixed(2)})`,
          );
          return `layer ${data.layerNumbers[l]}: ${picks.join(", ") || "none"}`;
        });
        showTip(event, [`\u201c${visible(token)}\u201d`, ...lines].join("\n"));
      });
      span.addEventListener("mouseleave", hideTip);
      return span;
    });
    text.append(...spans);
    redraw.push(() => {
      const experts = data.layers[layer].counts.length;
      spans.forEach((span, t) => {
        const picks = item.routes[layer][t].filter(([expert]) => expert >= 0);
        const shown = chosen < 0 ? picks[0] : picks.find(([expert]) => expert === chosen);
        span.className = shown ? "" : "dim";
        span.style.background = shown
          ? colour(shown[0], experts, chosen < 0 ? 1 : 0.35 + 0.65 * Math.min(1, Math.max(0, shown[1])))
          : "none";
      });
    });
    return el("div", {}, el("p", { class: "about" }, item.name), el("div", { class: "card" }, text));
  };

  const passages = () => {
    const legend = el("div", { class: "legend" });
    redraw.push(() => {
      const experts = data.layers[layer].counts.length;
      const buttons = Array.from({ length: experts }, (_, e) => {
        const label = [el("i", { class: "dot", style: `background:${colour(e, experts)}` }), `expert ${e}`];
        const button = el("button", { type: "button", "aria-pressed": String(e === chosen) }, ...label);
        button.addEventListener("click", () => {
          chosen = chosen === e ? -1 : e;
          for (const draw of redraw) draw();
        });
        return button;
      });
      legend.replaceChildren(...buttons);
    });
    section(
      "Where each token went",
      "Every token has the colour of its first expert in the chosen layer. Point at one for its route through all layers; press an expert to see only its tokens.",
      legend,
      ...data.passages.map(passage),
    );
  };

  const figures = (rows: readonly LayerFigures[]) => {
    const heads = [
      "layer",
      "max / mean load",
      "CV of load",
      "token entropy (nats)",
      "dropped",
      "places by expert",
    ];
    const table = el("table", {}, el("tr", {}, ...heads.map((h) => el("th", {}, h))));
    rows.forEach((row, l) => {
      const total = row.counts.reduce((a, b) => a + b, 0) || 1;
      const bars = svg("svg", { width: 9 * row.counts.length, height: 30 });
      row.counts.forEach((count, e) => {
        const tall = Math.min(28, (count / total) * row.counts.length * 14);
        const bar = svg("rect", { x: e * 9, y: 30 - tall, width: 7, height: tall, rx: 1.5 });
        bar.style.fill = colour(e, row.counts.length);
        bar.addEventListener("mousemove", (event) =>
          showTip(event as MouseEvent, `expert ${e}: ${count} places, ${percent(count / total)}`),
        );
        bar.addEventListener("mouseleave", hideTip);
        bars.append(bar);
      });
      const cells = [
        String(data.layerNumbers[l]),
        row.maxOverMean.toFixed(2),
        row.cv.toFixed(3),
        row.entropy.toFixed(2),
        percent(row.dropped),
      ];
      table.append(el("tr", {}, ...cells.map((c) => el("td", {}, c)), el("td", {}, bars)));
    });
    section(
      "Balance",
      "On the text of this report. An even router has max / mean 1 and CV 0.",
      el("div", { class: "card scroll" }, table),
    );
  };

  header();
  if (data.curves.length) curves();
  if (data.load.length) loadHeat();
  if (data.layers.length) figures(data.layers);
  const spec = data.specialisation;
  if (data.layers.length && (spec || data.passages.length)) layerTabs(data.layers.length);
  if (spec && spec.domains.length > 1) {
    const about = (s: Specialisation) =>
      `Of each expert's tokens, the share from each domain; coloured where it is above or below the share of all text. In this layer an expert tells ${s.layers[layer].domainBits.toFixed(3)} bits about the domain.`;
    shareTable("Experts by domain", about, spec, spec.domains, spec.domainShares, (expert) => expert.domains);
  }
  if (spec) {
    const about = (s: Specialisation) =>
      `The same by what a token is made of. In this layer an expert tells ${s.layers[layer].kindBits.toFixed(3)} bits about the kind of token.`;
    shareTable(
      "Experts by kind of token",
      about,
      spec,
      spec.kinds,
      spec.kindShares,
      (expert) => expert.kinds,
    );
    typicalTokens(spec);
  }
  if (data.passages.length) passages();
  if (data.sample) {
    const { prompt, text } = data.sample;
    section(
      "A sample",
      "Written by the model; the prompt in bold.",
      el("div", { class: "card sample" }, el("b", {}, prompt), text),
    );
  }
  page.append(el("footer", {}, "Made by Conclave."));
  for (const draw of redraw) draw();
}
