/* What tests/visiting.py asks of a page: window.visit has one function for each question. */
(() => {
  const SKIP = "script, style, noscript, template, title, desc, mjx-container, mjx-assistive-mml, .visually-hidden";
  const PAINTED = "path, rect, circle, ellipse, polygon, polyline, line";
  const article = () => document.querySelector(".bd-article") || document.querySelector("main") || document.body;

  /* Colours ------------------------------------------------------------------------------- */

  const pixel = Object.assign(document.createElement("canvas"), { width: 1, height: 1 })
    .getContext("2d", { willReadFrequently: true });
  const parsed = new Map();
  /* Any CSS colour as [red, green, blue, alpha], 0 to 255 and 0 to 1. */
  function rgba(colour) {
    if (!parsed.has(colour)) {
      let value = [0, 0, 0, 0];
      const plain = /^rgba?\(([^)]*)\)$/.exec(colour);
      if (plain) {
        const [r, g, b, a = 1] = plain[1].split(/[\s,/]+/).map(Number);
        value = [r, g, b, a];
      } else if (colour && colour !== "none") {
        pixel.clearRect(0, 0, 1, 1);
        pixel.fillStyle = colour;
        pixel.fillRect(0, 0, 1, 1);
        const [r, g, b, a] = pixel.getImageData(0, 0, 1, 1).data;
        value = [r, g, b, a / 255];
      }
      parsed.set(colour, value);
    }
    return parsed.get(colour);
  }
  const over = (top, alpha, below) => [0, 1, 2].map((i) => alpha * top[i] + (1 - alpha) * below[i]);
  function luminance(colour) {
    const [r, g, b] = colour.map((v) => v / 255).map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  }
  /* Contrast of two opaque colours (WCAG 2.2). */
  function ratio(a, b) {
    const [low, high] = [luminance(a), luminance(b)].sort((x, y) => x - y);
    return (high + 0.05) / (low + 0.05);
  }
  const hex = (colour) => "#" + colour.slice(0, 3).map((v) => Math.round(v).toString(16).padStart(2, "0")).join("");

  let grounds = new Map();
  /* [the colour behind an element's content, product of the opacities down to it]. */
  function ground(element) {
    if (!element) return [[255, 255, 255], 1];
    if (!grounds.has(element)) {
      const [below, faded] = ground(element.parentElement);
      const style = getComputedStyle(element);
      const opacity = faded * Number(style.opacity);
      const paint = element instanceof SVGElement ? [0, 0, 0, 0] : rgba(style.backgroundColor);
      grounds.set(element, [paint[3] ? over(paint, paint[3] * opacity, below) : below, opacity]);
    }
    return grounds.get(element);
  }

  /* What is painted under an SVG element at a point of the window. Thin lines do not count. */
  function beneath(element, x, y) {
    const stack = document.elementsFromPoint(x, y);
    const at = stack.indexOf(element);
    const below = at < 0 ? [] : stack.slice(at + 1).filter((e) => e.matches(PAINTED) && e.ownerSVGElement);
    let colour = ground(element.closest("svg").parentElement)[0];
    for (const shape of below.reverse()) {
      const style = getComputedStyle(shape);
      const point = new DOMPoint(x, y).matrixTransform(shape.getScreenCTM().inverse());
      const opacity = ground(shape)[1];
      if (style.fill !== "none" && shape.isPointInFill(point)) {
        const paint = rgba(style.fill);
        colour = over(paint, paint[3] * Number(style.fillOpacity) * opacity, colour);
      }
      if (style.stroke !== "none" && parseFloat(style.strokeWidth) > 5 && shape.isPointInStroke(point)) {
        const paint = rgba(style.stroke);
        colour = over(paint, paint[3] * Number(style.strokeOpacity) * opacity, colour);
      }
    }
    return colour;
  }

  /* A name for an element that helps to find it. */
  function where(element) {
    const named = element.closest("[id]");
    const kind = element.tagName.toLowerCase() + (element.classList.length ? "." + [...element.classList].join(".") : "");
    return named && named !== element ? `${kind} in #${named.id}` : named ? `${kind}#${named.id}` : kind;
  }
  const seen = (element) => element.checkVisibility({ opacityProperty: true, visibilityProperty: true });

  /* Every visible text with its contrast and the contrast it needs. */
  function texts() {
    grounds = new Map();
    const out = new Map();
    const note = (element, text, fore, back, size, bold) => {
      const value = ratio(fore, back);
      const needed = size >= 24 || (size >= 18.66 && bold) ? 3 : 4.5;
      const key = [hex(fore), hex(back), needed].join();
      const known = out.get(key);
      if (known) known.times += 1;
      else out.set(key, { ratio: value, needed, fore: hex(fore), back: hex(back), text: text.trim().slice(0, 60), where: where(element), times: 1 });
    };
    const inWindow = (box) => box.width > 1 && box.height > 1 && box.right + scrollX > 0 && box.bottom + scrollY > 0 && box.left < innerWidth;
    const shown = new Map();
    let drawing = null;
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    for (let node = walker.nextNode(); node; node = walker.nextNode()) {
      const element = node.parentElement;
      if (!node.data.trim() || element.closest(SKIP)) continue;
      if (!shown.has(element)) shown.set(element, seen(element));
      if (!shown.get(element)) continue;
      if (element instanceof SVGElement && element.ownerSVGElement !== drawing) {
        drawing = element.ownerSVGElement;
        drawing.scrollIntoView({ block: "center", behavior: "instant" });
      }
      const range = document.createRange();
      range.selectNodeContents(node);
      const box = range.getBoundingClientRect();
      if (!inWindow(box)) continue;
      const style = getComputedStyle(element);
      const size = parseFloat(style.fontSize), bold = Number(style.fontWeight) >= 700;
      const [back, opacity] = ground(element);
      if (element instanceof SVGElement) {
        const text = element.closest("text"), paint = rgba(style.fill);
        for (const part of [0.1, 0.5, 0.9]) {
          const behind = beneath(text, box.left + part * box.width, box.top + box.height / 2);
          note(element, node.data, over(paint, paint[3] * Number(style.fillOpacity) * opacity, behind), behind, size, bold);
        }
      } else {
        const paint = rgba(style.color);
        note(element, node.data, over(paint, paint[3] * opacity, back), back, size, bold);
      }
    }
    for (const element of document.querySelectorAll("mjx-container")) {
      if (!seen(element) || !inWindow(element.getBoundingClientRect())) continue;
      const style = getComputedStyle(element), paint = rgba(style.color);
      const [back, opacity] = ground(element);
      note(element, "(formula)", over(paint, paint[3] * opacity, back), back, parseFloat(style.fontSize), false);
    }
    return [...out.values()];
  }

  /* The marks of every chart: the best contrast that fill or outline has with the page, of the
     faintest and of the strongest item. Shading is what lets more than half of the page through. */
  function marks() {
    grounds = new Map();
    const out = [];
    for (const svg of article().querySelectorAll("svg.marks")) {
      for (const group of svg.querySelectorAll("g.role-mark, g.role-legend-symbol")) {
        const kind = /mark-(\w+)/.exec(group.getAttribute("class"))[1];
        if (kind === "group" || kind === "text") continue;
        const found = [];
        let opaque = 0;
        for (const item of group.querySelectorAll(PAINTED)) {
          const style = getComputedStyle(item), [back, opacity] = ground(item);
          let best = 0;
          const broad = kind === "area" || kind === "rect" || parseFloat(style.strokeWidth) >= 8;
          for (const [paint, alpha] of [[style.fill, style.fillOpacity], [style.stroke, style.strokeOpacity]]) {
            const colour = rgba(paint), full = colour[3] * Number(alpha) * opacity;
            if (paint === "none" || full === 0) continue;
            best = Math.max(best, ratio(over(colour, full, back), back));
            opaque = Math.max(opaque, broad ? full : 1);
          }
          if (best) found.push(best);
        }
        if (!found.length) continue;
        out.push({
          where: where(svg), kind: /legend/.test(group.getAttribute("class")) ? `legend ${kind}` : kind,
          layer: group.getAttribute("class").split(" ").pop(), least: Math.min(...found), most: Math.max(...found),
          shading: opaque < 0.5,
        });
      }
    }
    return out;
  }

  /* Figures and what they say of themselves ------------------------------------------------ */

  function figures() {
    const drawn = "img, canvas, object, video, svg.marks, svg.cp-evidence, svg[role=img]";
    return [...article().querySelectorAll(drawn)].filter((e) => !e.closest(".vega-embed details, button, .headerlink") && !e.matches(".svg-inline--fa")).map((element) => {
      const labels = (element.getAttribute("aria-labelledby") || "").split(/\s+/).filter(Boolean)
        .map((id) => (document.getElementById(id) || {}).textContent || "");
      /* Vega names the box around its drawing. */
      const named = element.closest("[role=graphics-document]") || element;
      const inner = [...element.querySelectorAll(":scope > title, :scope > desc")].map((e) => e.textContent).join(": ");
      const alt = named.getAttribute("alt") || named.getAttribute("aria-label") || labels.join(" ") || inner;
      return { where: where(element), alt: alt.trim().replace(/\s+/g, " ") };
    });
  }

  /* Maths, headings, links, width ---------------------------------------------------------- */

  function maths() {
    const raw = [];
    const walker = document.createTreeWalker(article(), NodeFilter.SHOW_TEXT);
    for (let node = walker.nextNode(); node; node = walker.nextNode()) {
      if (node.parentElement.closest("pre, code, script, style, mjx-container, textarea")) continue;
      if (/\$|\\\(|\\\)|\\\[|\\begin\{/.test(node.data)) raw.push(node.data.trim().slice(0, 80));
    }
    const formulas = [...document.querySelectorAll(".math")];
    return {
      raw,
      bare: formulas.filter((e) => !e.querySelector("mjx-container")).map((e) => e.textContent.trim().slice(0, 80)),
      errors: [...document.querySelectorAll("mjx-merror, [data-mjx-error]")].map((e) => e.getAttribute("data-mjx-error") || e.textContent.slice(0, 80)),
      formulas: formulas.length,
    };
  }

  const headings = () => [...article().querySelectorAll("h1, h2, h3, h4, h5, h6")].map((e) => [Number(e.tagName[1]), e.innerText.replace(/#$/, "").trim()]);

  const links = () => [...document.querySelectorAll("a[href], button[onclick]")].map((e) => ({ href: e.href || "", text: (e.innerText || e.title || "").trim().slice(0, 60), onclick: e.getAttribute("onclick") || "" }));

  /* What sticks out of the window to the right, boxes that scroll by themselves aside. */
  function wide() {
    const scrolls = (element) => {
      for (let e = element.parentElement; e && e !== document.body; e = e.parentElement) {
        if (["auto", "scroll", "hidden", "clip"].includes(getComputedStyle(e).overflowX)) return true;
      }
      return false;
    };
    const out = [...document.body.querySelectorAll(".bd-main *")].filter((e) => {
      if (e.closest("mjx-assistive-mml, .visually-hidden, svg svg, svg *")) return false;
      const box = e.getBoundingClientRect();
      return box.width > 0 && box.height > 0 && box.right > innerWidth + 1 && seen(e) && !scrolls(e);
    });
    return { page: document.scrollingElement.scrollWidth, window: innerWidth, out: out.slice(0, 5).map(where) };
  }

  /* Charts that are wider than their box. */
  const clipped = () => [...article().querySelectorAll("svg.marks")].filter((svg) => {
    const box = svg.closest(".output, figure, .cell_output") || svg.parentElement;
    return svg.getBoundingClientRect().width > box.clientWidth + 1;
  }).map((svg) => where(svg) + " " + Math.round(svg.getBoundingClientRect().width));

  /* The smallest letters of each chart, in pixels of the window. */
  const letters = () => [...article().querySelectorAll("svg.marks")].map((svg) => {
    const scale = svg.getBoundingClientRect().width / svg.width.baseVal.value;
    const sizes = [...svg.querySelectorAll("text")].filter((e) => e.textContent.trim()).map((e) => scale * parseFloat(getComputedStyle(e).fontSize));
    return { where: where(svg), size: Math.min(99, ...sizes) };
  });

  const words = () => article().innerText.split(/\s+/).filter((w) => /[\p{L}\p{N}]/u.test(w)).length;

  /* The charts that the page holds, and whether each is drawn and at rest. */
  const charts = () => [...document.querySelectorAll("[id^=altair-viz]")].map((e) => ({
    id: e.id, drawn: Boolean(e.querySelector("svg.marks, canvas.marks")) && e.getAttribute("aria-busy") !== "true",
    text: e.innerText.trim().slice(0, 200),
  }));

  /* Solutions, hidden cells and menus of charts opened. */
  function open() {
    for (const e of document.querySelectorAll(".bd-article details")) e.open = true;
    for (const e of document.querySelectorAll(".toggle-hidden")) e.classList.remove("toggle-hidden");
  }

  /* Keyboard ------------------------------------------------------------------------------- */

  const controls = () => [...document.querySelectorAll(".vega-bind :is(input, select)")];
  const look = (e) => {
    const s = getComputedStyle(e);
    return { outline: s.outlineStyle !== "none" && parseFloat(s.outlineWidth) > 0 && rgba(s.outlineColor)[3] > 0, rest: [s.boxShadow, s.borderColor, s.backgroundColor, s.color, s.textDecorationLine].join("; ") };
  };
  let walked = [];
  /* From now on, note what gets the focus and how it looks. */
  function follow() {
    walked = [];
    document.addEventListener("focusin", ({ target }) => walked.push([target, look(target), seen(target), target.getBoundingClientRect().width > 0]));
  }
  /* What was focused since follow(): once each, in order, with what is wrong with it. */
  function followed() {
    if (document.activeElement) document.activeElement.blur();
    const first = new Map();
    for (const [element, ...rest] of walked) if (!first.has(element)) first.set(element, rest);
    const missed = [...controls(), ...document.querySelectorAll(".search-button-field, .search-button__button, .pst-search-button")]
      .filter((e) => seen(e) && !(e.type === "radio" && !e.checked) && !first.has(e));
    return {
      count: first.size,
      first: walked.length ? walked[0][0].innerText : "",
      unseen: [...first].filter(([e, [focused, visible, wide]]) => !(visible && wide)).map(([e]) => where(e)),
      unmarked: [...first].filter(([e, [focused]]) => !focused.outline && focused.rest === look(e).rest).map(([e]) => where(e)),
      missed: missed.map(where),
    };
  }
  const tabbable = () => [...document.querySelectorAll("a[href], button, input, select, summary, textarea, [tabindex]")].filter((e) => e.tabIndex >= 0 && seen(e)).length;

  /* The i-th control: focus it, and say what it and its chart are. */
  const control = (i) => {
    const e = controls()[i], chart = e.closest(".vega-embed");
    return { value: e.type === "radio" ? (chart.querySelector(`input[name="${e.name}"]:checked`) || {}).value : e.type === "checkbox" ? String(e.checked) : e.value, type: e.type, checked: e.checked, drawing: chart.querySelector("svg.marks").outerHTML, where: where(e) + " " + e.name, label: (e.labels && e.labels[0] && e.labels[0].innerText.trim()) || e.getAttribute("aria-label") || "" };
  };
  const focus = (i) => controls()[i].focus();

  window.visit = { texts, marks, figures, maths, headings, links, wide, clipped, letters, words, charts, open, controls: () => controls().length, control, focus, follow, followed, tabbable };
})();
