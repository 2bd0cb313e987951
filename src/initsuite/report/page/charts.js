// Charts: data from Python, colours from the page; drawn when they come near the screen.
"use strict";

const NARROW = 620;
const LETTER = 8;
const charts = new Map();

/** "#rrggbb" with an opacity. */
function faded(colour, opacity) {
  const number = (start) => parseInt(colour.slice(start, start + 2), 16);
  return `rgba(${number(1)}, ${number(3)}, ${number(5)}, ${opacity})`;
}

/** A trace in the colour of its initializer, hidden where its initializer is. */
function painted(trace) {
  const { init, role } = trace.meta;
  const made = { ...trace };
  if (role === "clique" || role === "distance") {
    made.line = { ...trace.line, color: page.variable(role === "clique" ? "--soft" : "--text") };
    return made;
  }
  if (init === undefined) return made;
  const colour = page.colour(init);
  made.line = { ...trace.line, color: colour };
  if (role === "band") {
    made.line = { width: 0, color: colour };
    made.fillcolor = faded(colour, page.isDark() ? 0.22 : 0.15);
  }
  if (role === "line" && trace.mode === "lines+markers") {
    made.marker = { size: 6, ...trace.marker, color: colour, opacity: 1, line: { width: 0 } };
  }
  if (role === "dots") made.marker = { color: faded(colour, 0.55), size: 6, line: { width: 0 } };
  if (role === "median" || role === "second") {
    const back = page.variable("--back");
    made.marker = role === "median"
      ? { color: colour, size: 12, symbol: "diamond", line: { width: 1.5, color: back } }
      : { color: back, size: 9, symbol: "square", line: { width: 2, color: colour } };
    if (trace.error_x) made.error_x = { ...trace.error_x, color: colour, thickness: 2.5, width: 6 };
  }
  made.visible = page.hidden.has(init) ? (trace.showlegend === false ? false : "legendonly") : true;
  return made;
}

/** Black or white, whichever is more readable on a colour of a scale of stops [place, "#rrggbb"] from 0 to 1. */
function ink(value, scale) {
  const place = Math.min(1, Math.max(0, value));
  const after = Math.max(1, scale.findIndex(([stop]) => stop >= place));
  const [[low, from], [high, to]] = [scale[after - 1], scale[after]];
  const share = (place - low) / (high - low);
  const linear = [1, 3, 5].map((start) => {
    const [a, b] = [from, to].map((colour) => parseInt(colour.slice(start, start + 2), 16));
    return ((a + share * (b - a)) / 255) ** 2.2;
  });
  return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2] > 0.18 ? "#000000" : "#ffffff";
}

/** The numbers in the cells of a heat map. */
function numbers(map) {
  const cells = map.z.flatMap((row, y) => row.map((value, x) => ({ value, x, y })));
  return cells.filter(({ value }) => value !== null).map(({ value, x, y }) => ({
    // By place: a name such as "2" would be read as a place.
    x, y, text: map.text[y][x], showarrow: false,
    font: { size: 13, color: ink(value, map.colorscale) },
  }));
}

/** A layout in the page's type and colours, for the width at hand. */
function dressed(figure, width) {
  const [text, soft, line, card] = ["--text", "--soft", "--line", "--card"].map(page.variable);
  const narrow = width < NARROW;
  const axis = (own) => ({
    gridcolor: line, zerolinecolor: line, linecolor: soft, tickcolor: line, automargin: true, ...own,
    title: { font: { size: 13 }, standoff: 10, ...own?.title },
  });
  const layout = figure.layout;
  const legend = figure.data.some((trace) => trace.meta.role === "line");
  const names = legend ? [...new Set(figure.data.map((trace) => trace.name))] : [];
  const longest = Math.max(0, ...names.map((name) => name.length));
  const lines = Math.ceil(names.length / Math.max(1, Math.floor(width / (60 + LETTER * longest))));
  const rows = figure.rows ? 100 + (narrow ? 30 : 34) * figure.rows : narrow ? 330 : 400;
  const heat = figure.data.find((trace) => trace.type === "heatmap");
  const notes = (layout.annotations || []).map((note) => ({
    ...note, font: { color: soft, size: 12 }, bgcolor: faded(page.variable("--back"), 0.75),
  }));
  return {
    ...layout,
    xaxis: axis(layout.xaxis),
    yaxis: axis(layout.yaxis),
    shapes: (layout.shapes || []).map((shape) => ({ ...shape, line: { ...shape.line, color: soft } })),
    annotations: heat ? numbers(heat) : notes,
    hovermode: narrow ? "closest" : layout.hovermode || "closest",
    dragmode: byFinger() ? false : "zoom",
    showlegend: legend,
    legend: {
      orientation: "h", xref: "container", yref: "container", x: 0, y: 0, xanchor: "left", yanchor: "bottom",
      font: { size: 13 }, itemwidth: 36,
    },
    font: { family: getComputedStyle(document.body).fontFamily, size: 13, color: text },
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    modebar: { bgcolor: "rgba(0,0,0,0)", color: soft, activecolor: page.variable("--accent") },
    hoverlabel: { bgcolor: card, bordercolor: line, font: { color: text, size: 13 }, namelength: -1 },
    margin: { l: 10, r: 16, t: 30, b: 10 },
    height: rows + 22 * lines,
    width,
  };
}

/** Whether dragging should scroll the page rather than zoom the chart. */
function byFinger() {
  return innerWidth < NARROW || matchMedia("(pointer: coarse)").matches;
}

/** The buttons over a chart: on a touch screen those that a finger cannot do without. */
function configuration() {
  const zoom = ["zoomIn2d", "zoomOut2d", "resetScale2d"];
  const touch = byFinger();
  const buttons = touch ? [zoom] : [["zoom2d", "pan2d"], zoom];
  return { displaylogo: false, responsive: false, displayModeBar: touch ? true : "hover", modeBarButtons: buttons };
}

/** What a chart can show: by the chosen context, or over all of them. */
function figureOf(name) {
  return page.data.across[name] || page.chosen.charts[name];
}

/** What can be chosen over a chart: what it is called in the address, its label, and [value, text] of each option. */
function choicesOf(name) {
  const panels = page.data.heat[name];
  if (panels) {
    const options = panels.map(([title]) => [title, title]);
    return [{ name, label: name === "depth" ? "networks" : "workload", options }];
  }
  const { views } = figureOf(name);
  if (!views) return [];
  const options = views.map((view) => [view.name, view.title]);
  return [{ name: "y", label: "height", options }, { name: "x", label: "steps", options: STEP_SCALES }];
}

/** The value that is chosen: that of the address, if it is one of the options, else the first. */
function chosenOf({ name, options }) {
  const found = options.find(([value]) => value === page.shown[name]) || options[0];
  return found[0];
}

class Chart {
  constructor(figure) {
    this.name = figure.dataset.chart;
    this.root = figure;
    this.plot = figure.querySelector(".plot");
    this.caption = figure.querySelector("figcaption");
    this.title = figure.querySelector("h3").textContent;
    this.near = false;
    this.drawn = null;
    this.offered = "";
    this.tools = page.make("div", { class: "tools" });
    this.plot.before(this.tools);
    this.plot.classList.add("waiting");
  }

  /** The figure that the choices over the chart amount to. */
  figure(choices) {
    const values = choices.map(chosenOf);
    const panels = page.data.heat[this.name];
    if (panels) return panels.find(([title]) => title === values[0])[1];
    const figure = figureOf(this.name);
    return figure.views ? viewed(figure, ...values) : figure;
  }

  draw() {
    if (!this.near) return;
    const choices = choicesOf(this.name);
    const figure = this.figure(choices);
    this.offer(choices, !figure.empty);
    this.plot.classList.remove("waiting");
    this.caption.textContent = figure.caption || "";
    if (figure.empty) {
      if (this.drawn) Plotly.purge(this.plot);
      this.drawn = null;
      this.plot.replaceChildren(page.make("p", { class: "empty" }, figure.empty));
      return;
    }
    if (!this.drawn) this.plot.replaceChildren();
    const fresh = !this.drawn;
    this.drawn = figure;
    this.width = this.plot.clientWidth;
    Plotly.react(this.plot, figure.data.map(painted), dressed(figure, this.width), configuration());
    this.plot.setAttribute("role", "img");
    this.plot.setAttribute("aria-label", `${this.title}. ${figure.caption}`);
    if (fresh) this.listen();
  }

  /** The choices over a chart, and the button that saves it; made again only where they change, to keep the focus. */
  offer(choices, isDrawn) {
    const offered = JSON.stringify([choices, isDrawn]);
    if (offered !== this.offered) {
      this.offered = offered;
      const save = page.make("button", { type: "button", class: "save", onclick: () => this.save() }, "PNG");
      save.setAttribute("aria-label", `Save “${this.title}” as PNG`);
      this.selects = choices.filter(({ options }) => options.length > 1).map((choice) => this.select(choice));
      const labels = this.selects.map(({ label, select }) => page.make("label", {}, label, select));
      this.tools.replaceChildren(...labels, ...(isDrawn ? [save] : []));
    }
    for (const { select, choice } of this.selects) select.value = chosenOf(choice);
  }

  select(choice) {
    const { name, label, options } = choice;
    const change = (event) => page.show(name, event.target.value === options[0][0] ? null : event.target.value);
    const select = page.make("select", { onchange: change });
    select.append(...options.map(([value, text]) => page.make("option", { value }, text)));
    return { choice, label, select };
  }

  save() {
    const where = this.name in page.chosen.charts ? page.chosen.name : "";
    saving.chart(this.plot, [this.title, where].filter(Boolean).join(" · "), saving.name(this.name, where));
  }

  /** The legend switches an initializer in all charts; a double click shows it alone. */
  listen() {
    const name = (event) => event.data[event.curveNumber].meta.init;
    this.plot.on("plotly_legendclick", (event) => {
      page.toggle(name(event));
      return false;
    });
    this.plot.on("plotly_legenddoubleclick", (event) => {
      const others = Object.keys(page.data.palette).filter((other) => other !== name(event));
      page.pickHidden(page.hidden.size === others.length && !page.hidden.has(name(event)) ? [] : others);
      return false;
    });
  }
}

function startCharts() {
  const observer = new IntersectionObserver((entries) => {
    for (const entry of entries.filter((found) => found.isIntersecting)) {
      observer.unobserve(entry.target);
      const chart = charts.get(entry.target);
      chart.near = true;
      chart.draw();
    }
  }, { rootMargin: "500px 0px" });
  for (const figure of document.querySelectorAll("figure[data-chart]")) {
    charts.set(figure, new Chart(figure));
    observer.observe(figure);
  }
  const redraw = (which = () => true) => { for (const chart of charts.values()) if (which(chart)) chart.draw(); };
  page.onChoice.push(() => redraw((chart) => chart.name in page.chosen.charts));
  page.onHidden.push(() => redraw((chart) => chart.drawn));
  page.onShown.push(() => redraw((chart) => choicesOf(chart.name).length));
  page.dark.addEventListener("change", () => redraw());
  let timer = 0;
  addEventListener("resize", () => {
    clearTimeout(timer);
    timer = setTimeout(() => redraw((chart) => chart.drawn && chart.width !== chart.plot.clientWidth), 150);
  });
  addEventListener("beforeprint", () => {
    document.documentElement.dataset.printing = "";
    for (const chart of charts.values()) chart.near = true;
    redraw();
  });
  addEventListener("afterprint", () => {
    delete document.documentElement.dataset.printing;
    redraw();
  });
}
