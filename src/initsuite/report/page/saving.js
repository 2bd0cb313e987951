// Saving: a table as CSV, a chart as PNG; made in the browser, sent nowhere.
"use strict";

const PIXELS = 2;

const saving = {
  /** Offer something as a file. */
  offer(url, name) {
    page.make("a", { href: url, download: name }).click();
  },

  /** A name of letters, digits and dashes for a file. */
  name(...parts) {
    const words = parts.filter(Boolean).join("-").toLowerCase();
    return `initsuite-${words.replace(/[^\p{Letter}\p{Number}_]+/gu, "-").replace(/^-|-$/g, "")}`;
  },

  /** Lines of values as CSV (RFC 4180). */
  csv(lines) {
    const field = (value) => (/[",\r\n]/.test(value) ? `"${value.replaceAll('"', '""')}"` : value);
    return lines.map((line) => line.map((value) => field(String(value))).join(",")).join("\r\n") + "\r\n";
  },

  table(lines, name) {
    // The mark at the start tells Excel that the text is UTF-8.
    const url = URL.createObjectURL(new Blob(["\ufeff", saving.csv(lines)], { type: "text/csv;charset=utf-8" }));
    saving.offer(url, `${name}.csv`);
    setTimeout(() => URL.revokeObjectURL(url), 60000);
  },

  /** A drawn chart with its title, on the page's background. */
  async chart(plot, title, name) {
    const { layout } = plot;
    const whole = {
      ...layout,
      paper_bgcolor: page.variable("--back"),
      title: { text: title, font: { size: 15 }, x: 0, xref: "container", xanchor: "left", pad: { l: 12 } },
      margin: { ...layout.margin, t: layout.margin.t + 24 },
    };
    const size = { width: layout.width, height: layout.height + 24, scale: PIXELS };
    saving.offer(await Plotly.toImage({ data: plot.data, layout: whole }, { format: "png", ...size }), `${name}.png`);
  },
};
