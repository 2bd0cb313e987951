// Learning curves: a band and a line for each initializer, by the view and the scale of steps that are chosen.
"use strict";

const ROUND = [1, 2, 5];
const STEP_SCALES = [["log", "log scale"], ["linear", "linear scale"]];

/** Marks of a logarithmic axis at round numbers of steps, written out. */
function roundSteps(figure) {
  const steps = figure.data.flatMap((line) => line.x).filter((step) => step > 0);
  const [least, most] = [Math.min(...steps), Math.max(...steps)];
  const decades = [...Array(12).keys()].map((power) => 10 ** power);
  const all = decades.flatMap((decade) => ROUND.map((part) => part * decade));
  const found = all.filter((step) => step >= least && step <= most);
  const marks = found.length > 1 ? found : [least, most];
  return { tickvals: marks, ticktext: marks.map(String) };
}

/** The chosen view of a figure of curves as a figure that can be drawn. */
function viewed(figure, name, scale) {
  const view = figure.views.find((one) => one.name === name) || figure.views[0];
  const height = view.best === undefined
    ? (value) => value
    : (value) => (value === null ? null : Math.max(Math.abs(view.best - value), view.least));
  const top = Math.max(...figure.bands[view.of].flat(2).filter((value) => value !== null).map(height));
  const isLog = view.layout.yaxis.type === "log";
  const data = figure.data.flatMap((line, place) => {
    const values = figure.bands[view.of][place];
    const [middle, low, high] = values.map((row) => row.map(height));
    const known = line.x.map((_, at) => at).filter((at) => low[at] !== null && (!isLog || low[at] > 0));
    const back = [...known].reverse();
    const outline = {
      x: [...known, ...back].map((at) => line.x[at]),
      // An infinite end of a band, of a loss that diverged, is drawn at the top.
      y: [...known.map((at) => high[at] ?? top), ...back.map((at) => low[at])],
    };
    const { hovertemplate, ...silent } = line;
    const band = {
      ...silent, ...outline, mode: "lines", fill: "toself", hoverinfo: "skip", showlegend: false,
      meta: { ...line.meta, role: "band" },
    };
    return [band, { ...line, y: middle, customdata: line.x.map((_, at) => values.map((row) => row[at])) }];
  });
  const ticks = scale === "log" ? roundSteps(figure) : {};
  const layout = { ...view.layout, xaxis: { ...view.layout.xaxis, type: scale, ...ticks } };
  return { data, layout, caption: view.caption };
}
