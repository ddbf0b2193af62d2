/* Charts in the colours of the page, no wider than its column.

   Altair's output calls vegaEmbed(element, spec, options). Here that function
   waits for the Vega bundle, which loads at the end, and then draws with the
   theme's colours; it draws again, with the same slider values, when the theme
   or the width of the column changes. */
(() => {
  const THEMES = {
    light: {
      text: "#222832", muted: "#48566b", grid: "#d9dde2", line: "#6b7686",
      category: ["#0072b2", "#b34700", "#00795a", "#a8428a", "#806000", "#5b5bd6", "#666666"],
    },
    dark: {
      text: "#ced6dd", muted: "#b3bac4", grid: "#363d47", line: "#8b95a3",
      category: ["#56b4e9", "#f0902b", "#1fc19b", "#e08cc0", "#f0e442", "#a9a9ff", "#bbbbbb"],
    },
  };
  const LIST_KEYS = ["layer", "concat", "hconcat", "vconcat"];
  const theme = () => THEMES[document.documentElement.dataset.theme === "dark" ? "dark" : "light"];

  function config(narrow) {
    const c = theme();
    const fonts = { labelFontSize: 11, titleFontSize: 12, titleFontWeight: 500 };
    const axis = { ...fonts, labelColor: c.muted, titleColor: c.text, domainColor: c.line, tickColor: c.line, gridColor: c.grid };
    const legend = { ...fonts, labelColor: c.muted, titleColor: c.text };
    const title = { color: c.text, subtitleColor: c.muted };
    if (narrow) {
      Object.assign(legend, { orient: "bottom", columns: 2, labelLimit: 120, layout: { bottom: { direction: "vertical" } } });
      Object.assign(axis, { labelOverlap: true, labelSeparation: 4 });
    }
    return {
      background: "transparent", axis, legend, title,
      header: { ...fonts, labelColor: c.muted, titleColor: c.text },
      mark: { color: c.category[0] },
      text: { color: c.text }, rule: { color: c.line },
      range: { category: c.category },
      view: { stroke: c.grid },
    };
  }

  /* The spec with every width of a view multiplied. */
  function scaled(spec, factor, top = true) {
    const out = { ...spec };
    if (typeof out.width === "number") out.width *= factor;
    else if (out.width && out.width.step) out.width = { step: out.width.step * factor };
    for (const key of LIST_KEYS) if (out[key]) out[key] = out[key].map((view) => scaled(view, factor, false));
    if (out.spec) out.spec = scaled(out.spec, factor, false);
    if (top) {
      const view = { continuousWidth: 300, ...(out.config || {}).view };
      for (const key of ["continuousWidth", "discreteWidth"]) {
        if (typeof view[key] === "number") view[key] *= factor;
      }
      out.config = { ...out.config, view };
    }
    return out;
  }

  const ruler = document.createElement("canvas").getContext("2d");
  /* Words in lines that are no wider than the room. */
  function wrapped(words, font, room) {
    if (typeof words !== "string") return Array.isArray(words) ? words.flatMap((line) => wrapped(line, font, room)) : words;
    ruler.font = font;
    const lines = [""];
    for (const word of words.split(" ")) {
      const longer = lines[lines.length - 1] ? `${lines[lines.length - 1]} ${word}` : word;
      if (ruler.measureText(longer).width <= room) lines[lines.length - 1] = longer;
      else lines.push(word);
    }
    return lines.length > 1 ? lines : words;
  }

  /* Titles of a compiled chart, of its views and of its axes in lines. */
  function narrowed(group, room) {
    const { title } = group;
    if (title && title.text) {
      title.text = wrapped(title.text, "bold 13px sans-serif", room);
      if (title.subtitle) title.subtitle = wrapped(title.subtitle, "11px sans-serif", room);
    }
    for (const axis of group.axes || []) {
      if (axis.title && axis.orient === "bottom") axis.title = wrapped(axis.title, "500 12px sans-serif", room);
    }
    for (const mark of group.marks || []) if (mark.type === "group") narrowed(mark, room);
    return group;
  }

  const ready = new Promise((resolve) => document.addEventListener("DOMContentLoaded", resolve));
  let embed;
  const charts = [];

  async function draw(chart) {
    const { element, spec, options } = chart;
    const room = chart.box.clientWidth;
    const values = {};
    const bound = (result) => (result.vgSpec.signals || []).filter((signal) => signal.bind).map((signal) => signal.name);
    if (chart.result) for (const name of bound(chart.result)) values[name] = chart.result.view.signal(name);
    const render = async (factor, narrow) => {
      if (chart.result) chart.result.finalize();
      chart.result = await embed(element, factor === 1 ? spec : scaled(spec, factor), {
        renderer: "svg",
        actions: { export: true, source: false, compiled: false, editor: false },
        ...options,
        config: config(narrow),
        ...(narrow && { patch: (compiled) => narrowed(compiled, room - 70) }),
      });
      const { view } = chart.result;
      for (const name of bound(chart.result)) if (name in values) view.signal(name, values[name]);
      await view.runAsync();
      const drawn = element.querySelector("svg.marks");
      return drawn ? drawn.width.baseVal.value : 0;
    };
    const natural = await render(1, false);
    if (room && natural > room) {
      /* The width is a fixed part plus one that scales: two drawings tell both. Where the fixed
         part is most of it, the style sheet shrinks the whole drawing instead. */
      const wide = await render(1, true);
      const factor = Math.min(1, room / wide);
      if (factor < 1) {
        const width = await render(factor, true);
        const better = factor - ((width - room + 2) * (1 - factor)) / (wide - width);
        if (width > room && better >= 0.6 * factor) await render(better, true);
      }
    }
    chart.room = room;
    chart.result.view.container().style.maxWidth = "100%";
    return chart.result;
  }

  /* One drawing of a chart at a time; aria-busy until the last one is done. */
  function queue(chart) {
    const drawn = (chart.last || Promise.resolve()).catch(() => {}).then(() => draw(chart));
    const rest = () => { if (chart.last === drawn) chart.element.removeAttribute("aria-busy"); };
    chart.element.setAttribute("aria-busy", "true");
    chart.last = drawn;
    drawn.then(rest, rest);
    return drawn;
  }

  window.vegaEmbed = async (target, spec, options) => {
    await ready;
    const element = typeof target === "string" ? document.querySelector(target) : target;
    const chart = { element, spec, options, box: element.parentElement };
    charts.push(chart);
    const result = await queue(chart);
    new ResizeObserver(() => {
      if (Math.abs(chart.box.clientWidth - chart.room) <= 1) return;
      clearTimeout(chart.timer);
      element.setAttribute("aria-busy", "true");
      chart.timer = setTimeout(() => queue(chart), 150);
    }).observe(chart.box);
    return result;
  };
  const themed = window.vegaEmbed;
  ready.then(() => {
    embed = window.vegaEmbed;
    window.vegaEmbed = themed;
  });

  let colours = theme();
  new MutationObserver(() => {
    if (theme() === colours) return;
    colours = theme();
    charts.forEach(queue);
  }).observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
})();
